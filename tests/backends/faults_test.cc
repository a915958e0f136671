#include "backends/faults.h"

#include "gtest/gtest.h"

namespace parm {
namespace {

constexpr uint64_t kSeed = 21;
constexpr int kNumTasks = 20000;

Faults FaultsOf(std::vector<FaultWindow> windows,
                const std::string& worker_id = "w1", uint64_t seed = kSeed) {
  return Faults(std::move(windows), KeyedDraws(seed, worker_id));
}

TEST(FaultsTest, NoWindowMeansNoFault) {
  const Faults faults = FaultsOf({});
  for (uint64_t luck = 1; luck <= 100; ++luck) {
    EXPECT_EQ(faults.Plan(Luck{luck}, Duration(0)), FaultPlan{});
  }
}

TEST(FaultsTest, SlowJobsComeAtTheirRate) {
  const Faults faults =
      FaultsOf({{.slow_job_probability = 0.01, .slow_job_factor = 10}});
  int num_slow = 0;
  for (uint64_t luck = 1; luck <= kNumTasks; ++luck) {
    const FaultPlan plan = faults.Plan(Luck{luck}, Duration(0));
    if (plan.slow_factor > 1) {
      EXPECT_EQ(plan.slow_factor, 10);
      ++num_slow;
    }
  }
  // Mean 200, standard deviation 14.
  EXPECT_GT(num_slow, 130);
  EXPECT_LT(num_slow, 270);
}

TEST(FaultsTest, PlansDependOnLuckSeedAndWorkerAlone) {
  const std::vector<FaultWindow> windows = {{.drop_probability = 0.5}};
  const Faults faults = FaultsOf(windows);
  const Faults same = FaultsOf(windows);
  const Faults other_worker = FaultsOf(windows, "w2");
  const Faults other_seed = FaultsOf(windows, "w1", kSeed + 1);
  int worker_differs = 0;
  int seed_differs = 0;
  // Backwards: order must not matter.
  for (uint64_t luck = 1000; luck > 0; --luck) {
    const FaultPlan plan = faults.Plan(Luck{luck}, Duration(0));
    EXPECT_EQ(plan, same.Plan(Luck{luck}, Milliseconds(5)));
    if (plan != other_worker.Plan(Luck{luck}, Duration(0))) ++worker_differs;
    if (plan != other_seed.Plan(Luck{luck}, Duration(0))) ++seed_differs;
  }
  EXPECT_GT(worker_differs, 300);
  EXPECT_GT(seed_differs, 300);
}

TEST(FaultsTest, WindowHoldsFromStartForLength) {
  const Faults faults = FaultsOf({{.start = Milliseconds(10),
                                   .length = Milliseconds(5),
                                   .slow_mode_factor = 3}});
  const auto factor_at = [&](Duration since_start) {
    return faults.Plan(Luck{1}, since_start).slow_factor;
  };
  EXPECT_EQ(factor_at(Milliseconds(9)), 1);
  EXPECT_EQ(factor_at(Milliseconds(10)), 3);
  EXPECT_EQ(factor_at(Milliseconds(14)), 3);
  EXPECT_EQ(factor_at(Milliseconds(15)), 1);
}

TEST(FaultsTest, WindowsAtOnceAddUp) {
  const Faults faults = FaultsOf({{.slow_mode_factor = 3,
                                   .reply_delay_probability = 1,
                                   .reply_delay = Milliseconds(1)},
                                  {.slow_mode_factor = 2,
                                   .reply_delay_probability = 1,
                                   .reply_delay = Milliseconds(2),
                                   .error_probability = 1}});
  const FaultPlan plan = faults.Plan(Luck{1}, Duration(0));
  EXPECT_EQ(plan.slow_factor, 6);
  EXPECT_EQ(plan.reply_delay, Milliseconds(3));
  EXPECT_TRUE(plan.error);
}

TEST(FaultsTest, EveryKindOfCorruptionIsDrawn) {
  const Faults faults = FaultsOf({{.corrupt_probability = 1}});
  int counts[4] = {};
  for (uint64_t luck = 1; luck <= 300; ++luck) {
    const FaultPlan plan = faults.Plan(Luck{luck}, Duration(0));
    ++counts[static_cast<int>(plan.corruption)];
  }
  EXPECT_EQ(counts[static_cast<int>(Corruption::kNone)], 0);
  EXPECT_GT(counts[static_cast<int>(Corruption::kWrongBytes)], 50);
  EXPECT_GT(counts[static_cast<int>(Corruption::kWrongShape)], 50);
  EXPECT_GT(counts[static_cast<int>(Corruption::kGarbageFrame)], 50);
}

}  // namespace
}  // namespace parm
