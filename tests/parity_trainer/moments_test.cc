#include "parity_trainer/moments.h"

#include <cmath>
#include <string>

#include "gtest/gtest.h"

namespace parm {
namespace {

TEST(MomentsTest, BytesAndFloatsAgree) {
  const Moments bytes =
      MomentsOf(DataType::kUint8, absl::string_view("\x02\x04\xFC\xFE", 4));
  const float values[] = {2, 4, 252, 254};
  const Moments floats = MomentsOf(
      DataType::kFp32, {reinterpret_cast<const char*>(values), sizeof(values)});
  EXPECT_NEAR(bytes.mean, 128, 1e-9);
  EXPECT_NEAR(bytes.deviation, std::sqrt(125 * 125 + 1), 1e-2);
  EXPECT_EQ(floats.mean, bytes.mean);
  EXPECT_EQ(floats.deviation, bytes.deviation);
}

TEST(MomentsTest, ConstantValuesHaveAUsableDeviation) {
  const Moments moments =
      MomentsOf(DataType::kUint8, absl::string_view("\x07\x07\x07", 3));
  EXPECT_EQ(moments.mean, 7);
  EXPECT_EQ(moments.deviation, 1);
}

}  // namespace
}  // namespace parm
