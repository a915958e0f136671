#include "frontend/core/luck.h"

#include <cstdint>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"

namespace parm::core {
namespace {

using ::testing::ElementsAreArray;
using ::testing::SizeIs;

constexpr uint32_t kNumWorkers = 4;
constexpr int kNumQueries = 6;

CoreOptions Coded() {
  return CodedOptions(kNumWorkers, {.scheme = "sum", .k = 2, .r = 1});
}

// Workers with room for everything; the last one serves parity queries.
void AllUp(CoreHarness& core) {
  for (uint32_t i = 0; i < kNumWorkers; ++i) {
    const bool parity = i + 1 == kNumWorkers;
    core.Up(i, {.deployed = !parity, .parity = parity, .max_in_flight = 100});
  }
}

std::vector<Luck> SentWith(const CoreHarness& core, AttemptType attempt) {
  std::vector<Luck> lucks;
  for (const Sent& sent : core.out.sent) {
    if (sent.task.attempt == attempt) lucks.push_back(sent.task.luck);
  }
  return lucks;
}

// The originals of queries that arrive one by one, with all parity queries
// sent that the policy wants.
std::vector<Luck> OriginalsUnder(CoreOptions options) {
  CoreHarness core(std::move(options));
  AllUp(core);
  for (int i = 0; i < kNumQueries; ++i) {
    core.Arrive();
    while (!core.out.encodes.empty()) {
      const Encode encode = core.out.encodes.back();
      core.out.encodes.pop_back();
      core.Encoded(encode);
    }
  }
  return SentWith(core, AttemptType::kOriginal);
}

TEST(LuckTest, PoliciesGiveAnOriginalEqualLuck) {
  const std::vector<Luck> none = OriginalsUnder(PlainOptions(kNumWorkers));
  EXPECT_THAT(none, SizeIs(kNumQueries));
  EXPECT_THAT(std::set<Luck>(none.begin(), none.end()), SizeIs(kNumQueries));
  EXPECT_THAT(OriginalsUnder(Coded()), ElementsAreArray(none));
}

TEST(LuckTest, RefusedQueryKeepsItsNumber) {
  const std::vector<Luck> all = OriginalsUnder(PlainOptions(kNumWorkers));
  CoreHarness core(PlainOptions(kNumWorkers));
  core.Arrive();  // no worker yet
  ASSERT_THAT(core.out.answers, SizeIs(1));
  AllUp(core);
  core.Arrive();
  ASSERT_THAT(core.out.sent, SizeIs(1));
  EXPECT_EQ(core.out.sent[0].task.luck, all[1]);
}

TEST(LuckTest, RetryHasLuckOfItsOwn) {
  CoreHarness core(PlainOptions(kNumWorkers));
  AllUp(core);
  core.Arrive();
  core.Fail(core.out.sent.at(0), TaskStatus::kError, /*retryable=*/true);
  ASSERT_THAT(core.out.sent, SizeIs(2));
  EXPECT_EQ(core.out.sent[1].task.luck,
            LuckOf({.model = kModel, .query_number = 1, .copy = 1}));
  EXPECT_NE(core.out.sent[1].task.luck, core.out.sent[0].task.luck);
}

TEST(LuckTest, ParityIsNamedAfterItsFirstMember) {
  CoreHarness core(Coded());
  AllUp(core);
  for (int i = 0; i < 4; ++i) core.Arrive();
  ASSERT_THAT(core.out.encodes, SizeIs(2));
  // The later group is encoded first.
  core.Encoded(core.out.encodes[1]);
  core.Encoded(core.out.encodes[0]);
  const LuckSource first = {.model = kModel, .query_number = 1, .part = 1};
  const LuckSource third = {.model = kModel, .query_number = 3, .part = 1};
  EXPECT_THAT(SentWith(core, AttemptType::kParity),
              ElementsAreArray({LuckOf(third), LuckOf(first)}));
}

TEST(LuckTest, EachPartOfTheSourceCounts) {
  const LuckSource source = {.model = kModel, .query_number = 5};
  LuckSource other_model = source;
  other_model.model = ModelId{1};
  LuckSource other_query = source;
  other_query.query_number = 6;
  LuckSource parity = source;
  parity.part = 1;
  LuckSource copy = source;
  copy.copy = 1;
  EXPECT_THAT(
      (std::set<Luck>{LuckOf(source), LuckOf(other_model), LuckOf(other_query),
                      LuckOf(parity), LuckOf(copy)}),
      SizeIs(5));
}

}  // namespace
}  // namespace parm::core
