#include "frontend/upstream/routing_id.h"

#include "gtest/gtest.h"

namespace parm {
namespace {

TEST(RoutingIdTest, ReadsBackWhatItWrote) {
  for (const uint32_t worker : {0U, 1U, 255U, 4'000'000'000U}) {
    for (const uint32_t generation : {1U, 256U, 4'294'967'295U}) {
      const std::string bytes = EncodeRoutingId(WorkerId{worker}, generation);
      EXPECT_NE(bytes[0], '\0');
      EXPECT_EQ(DecodeRoutingId(bytes), (RoutingId{.worker = WorkerId{worker},
                                                   .generation = generation}));
    }
  }
}

TEST(RoutingIdTest, RefusesIdsThatItDidNotMake) {
  EXPECT_EQ(DecodeRoutingId(""), std::nullopt);
  EXPECT_EQ(DecodeRoutingId(std::string(5, '\0')), std::nullopt);
  EXPECT_EQ(DecodeRoutingId("X12345678"), std::nullopt);
  EXPECT_EQ(DecodeRoutingId("W1234567"), std::nullopt);
}

}  // namespace
}  // namespace parm
