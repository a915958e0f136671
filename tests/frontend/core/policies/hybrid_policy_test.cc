// Coded redundancy on idle capacity, hedges, and the one budget for both.

#include "frontend/core/policies/hybrid_policy.h"

#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"
#include "tests/frontend/core/policies/hybrid_core.h"
#include "tests/frontend/core/policies/served_world.h"

namespace parm::core {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// One group of two has come and gone: there is some budget.
CoreHarness WarmCore(const CoreOptions& options) {
  CoreHarness core = HybridCore(options);
  core.Arrive();
  core.Arrive();
  core.Advance(Milliseconds(1));
  core.Reply(Sent{core.out.sent.at(0)});
  core.Reply(Sent{core.out.sent.at(1)});
  core.ExpectEmpty();
  core.out.sent.clear();
  core.out.answers.clear();
  return core;
}

uint64_t NumErrors(const CoreHarness& core) {
  return core.model().answers[static_cast<size_t>(AnswerSource::kError)];
}

TEST(HybridPolicyTest, IdleWorkersGetParityThatYields) {
  CoreHarness core = WarmCore(HybridOptionsFor(8, SumOfTwo()));
  core.Arrive();
  core.Arrive();
  ASSERT_THAT(core.out.encodes, SizeIs(1));
  core.Encoded(core.out.encodes[0]);
  ASSERT_THAT(core.out.sent, SizeIs(3));
  EXPECT_EQ(core.out.sent[2].task.attempt, AttemptType::kParity);
  EXPECT_EQ(core.out.sent[2].task.priority, 1);
  core.Reply(core.out.sent[1]);
  core.Reply(core.out.sent[2]);
  EXPECT_THAT(core.out.decodes, IsEmpty()) << "held back until the trigger";
  core.Advance(Milliseconds(25));
  core.Decoded(core.out.decodes.at(0));
  EXPECT_EQ(core.out.answers.back().source, AnswerSource::kReconstructed);
}

TEST(HybridPolicyTest, ParityCostsWhatItsUnitWasMeasuredAt) {
  for (const bool configured : {false, true}) {
    SCOPED_TRACE(configured);
    CoreOptions options = HybridOptionsFor(8, SumOfTwo());
    options.models[0].hybrid.parity_cost = configured ? 1 : 0;
    CoreHarness core = WarmCore(options);
    core.out.encodes.clear();
    UnitChosen chosen = {.model = kModel,
                         .unit = 0,
                         .answered_by = BundleRole::kParity,
                         .cost = 1000};
    core.Handle(chosen);
    core.Arrive();
    core.Arrive();
    EXPECT_THAT(core.out.encodes, SizeIs(configured ? 1 : 0))
        << "more than the budget has";
    if (configured) continue;
    chosen.cost = 1;
    core.Handle(chosen);
    core.Arrive();
    core.Arrive();
    EXPECT_THAT(core.out.encodes, SizeIs(1));
  }
}

TEST(HybridPolicyTest, BudgetSavesUpForWhatParityWasMeasuredAt) {
  // Of pairs: more than a burst of 1 and twice the stated cost.
  constexpr int kCost = 4;
  ServedWorld world(
      HybridOptionsFor(64, SumOfTwo()), 100, [](const Sent& sent) {
        return Milliseconds(
            sent.task.attempt == AttemptType::kParity ? kCost * 5 : 5);
      });
  world.core.Handle(UnitChosen{.model = kModel,
                               .unit = 0,
                               .answered_by = BundleRole::kParity,
                               .cost = kCost});
  world.Run(Milliseconds(3000), 1);
  EXPECT_GT(world.NumSent(AttemptType::kParity), 100U);
}

// Tasks of the last of so many queries, one of which comes every `gap`.
std::map<AttemptType, uint64_t> SentAtLoad(uint32_t num_workers) {
  CoreOptions options = HybridOptionsFor(num_workers, SumOfFour());
  options.models[0].hybrid.gate = {.calm_share = 0};
  ServedWorld world(options, 16, [](const Sent&) { return Milliseconds(10); });
  world.Run(Milliseconds(8000), 1);  // ten of the lanes are busy
  std::map<AttemptType, uint64_t> sent;
  for (const AttemptType attempt :
       {AttemptType::kOriginal, AttemptType::kHedge, AttemptType::kParity}) {
    sent[attempt] = world.NumSent(attempt);
  }
  world.Run(Milliseconds(4000), 1);
  for (auto& [attempt, count] : sent) count = world.NumSent(attempt) - count;
  world.ExpectCopiesApart();
  return sent;
}

TEST(HybridPolicyTest, IdlePoolSendsCopiesInsteadOfParity) {
  auto sent = SentAtLoad(/*num_workers=*/80);
  EXPECT_GT(sent[AttemptType::kHedge], 3900U);
  EXPECT_LT(sent[AttemptType::kParity], 40U);
}

TEST(HybridPolicyTest, GroupsGrowWithTheLoad) {
  // 1, 1/2, 1/4 parity queries for each query; none where they do not fit.
  const std::vector<std::pair<uint32_t, double>> expected = {
      {32, 0.5}, {17, 0.25}, {11, 0}};
  for (const auto& [num_workers, per_query] : expected) {
    SCOPED_TRACE(num_workers);
    auto sent = SentAtLoad(num_workers);
    EXPECT_NEAR(static_cast<double>(sent[AttemptType::kParity]),
                per_query * 4000, 200);
    EXPECT_LT(sent[AttemptType::kHedge], 400U);
  }
}

TEST(HybridPolicyTest, LateQueryIsHedgedBesideItsParity) {
  CoreHarness core = WarmCore(HybridOptionsFor(8, SumOfTwo()));
  core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  core.Advance(Milliseconds(30));
  ASSERT_THAT(core.out.sent, SizeIs(5));
  for (const size_t i : {3U, 4U}) {
    EXPECT_EQ(core.out.sent[i].task.attempt, AttemptType::kHedge);
    EXPECT_EQ(core.out.sent[i].task.priority, 0) << "the exact second chance";
  }
}

TEST(HybridPolicyTest, DoubtfulDecodeIsHedgedAtOnceAndOnce) {
  CoreOptions options = HybridOptionsFor(8, SumOfTwo());
  options.models[0].decode.min_confidence = 0.9F;
  CoreHarness core = WarmCore(options);
  core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  core.Reply(core.out.sent.at(1));
  core.Reply(core.out.sent.at(2));
  core.Advance(Milliseconds(25));
  EXPECT_THAT(core.out.sent, SizeIs(3));
  core.Decoded(core.out.decodes.at(0), /*confidence=*/0.5F);
  ASSERT_THAT(core.out.sent, SizeIs(4)) << "5 ms before the hedge was due";
  core.Advance(Milliseconds(200));
  EXPECT_THAT(core.out.sent, SizeIs(4));
  core.Reply(core.out.sent[3]);
  EXPECT_EQ(core.out.answers.back().source, AnswerSource::kHedged);
}

TEST(HybridPolicyTest, QueryWithoutSiblingsIsReplicatedAtOnce) {
  CoreHarness core = HybridCore(HybridOptionsFor(4, SumOfTwo()));
  size_t before = 0;
  for (int i = 0; i < 20; ++i) {
    core.Arrive();
    core.Advance(Milliseconds(10));
    for (; before < core.out.sent.size(); ++before) {
      core.Reply(Sent{core.out.sent[before]});
    }
    core.Advance(Milliseconds(90));
  }
  core.Arrive();
  ASSERT_THAT(core.out.sent, SizeIs(before + 2));
  EXPECT_EQ(core.out.sent[before + 1].task.attempt, AttemptType::kHedge);
  EXPECT_EQ(core.out.sent[before + 1].task.priority, 1) << "it yields";
  EXPECT_NE(core.out.sent[before + 1].task.worker,
            core.out.sent[before].task.worker);
  EXPECT_GT(core.model().hedge.replicas, 10U);
  core.Reply(core.out.sent[before + 1]);
  EXPECT_EQ(core.out.answers.back().source, AnswerSource::kHedged) << "exact";
}

TEST(HybridPolicyTest, BurstAfterSilenceFormsGroupsAgain) {
  ServedWorld world(HybridOptionsFor(16, SumOfTwo()), 100,
                    [](const Sent&) { return Milliseconds(10); });
  world.Run(Milliseconds(300), 1);
  world.Run(Milliseconds(5000), 0);
  const uint64_t groups = world.core.model().groups_closed_full;
  world.Run(Milliseconds(50), 1);
  EXPECT_GT(world.core.model().groups_closed_full, groups + 10);
}

TEST(HybridPolicyTest, LoadShutsTheGateAndLeavesTheHedge) {
  ServedWorld world(HybridOptionsFor(8, SumOfTwo()), 100, [](const Sent& sent) {
    return Milliseconds(Draw(sent) < 0.05 ? 200 : 20);
  });
  // Of eight lanes the queries alone want 20.
  world.Run(Milliseconds(2000), 1);
  const uint64_t parities = world.NumSent(AttemptType::kParity);
  const uint64_t hedges = world.NumSent(AttemptType::kHedge);
  world.Run(Milliseconds(5000), 1);
  EXPECT_EQ(world.NumSent(AttemptType::kParity), parities);
  EXPECT_GT(world.core.model().hedge.shed_for_load, 1000U);
  EXPECT_GT(world.NumSent(AttemptType::kHedge), hedges + 100);
  EXPECT_GT(world.core.model().hedge.load, 0.9);
}

TEST(HybridPolicyTest, GateOpensAgainAfterTheLoad) {
  ServedWorld world(HybridOptionsFor(16, SumOfTwo()), 100,
                    [](const Sent&) { return Milliseconds(20); });
  world.Run(Milliseconds(3000), 1);
  const uint64_t before = world.NumSent(AttemptType::kParity);
  world.set_service([](const Sent&) { return Milliseconds(3); });
  world.Run(Milliseconds(5000), 1);
  EXPECT_GT(world.NumSent(AttemptType::kParity), before + 1000);
}

TEST(HybridPolicyTest, OneBudgetPaysForParityAndCopies) {
  CoreOptions options = HybridOptionsFor(64, SumOfTwo());
  ModelOptions& model = options.models[0];
  model.hybrid.max_extra_load = 0.3;
  ServedWorld world(options, 1000, [](const Sent& sent) {
    return Milliseconds(Draw(sent) < 0.2 ? 100 : 10);
  });
  constexpr int kSeconds = 5;
  world.Run(Milliseconds(1000 * kSeconds), 1);
  EXPECT_GT(world.core.model().hedge.shed_for_budget, 0U);
  EXPECT_GT(world.NumSent(AttemptType::kParity), 500U);
  const HedgeCounters& hedge = world.core.model().hedge;
  constexpr double kMeanSeconds = 0.2 * 0.1 + 0.8 * 0.01;
  constexpr double kOut = 1;  // seconds that tasks at the workers run over
  EXPECT_LE(ToSeconds(hedge.extra_service),
            0.3 * ToSeconds(hedge.ordinary_service) +
                kMeanSeconds * (10 * kSeconds + 10) + kOut);
  world.ExpectCopiesApart();
}

TEST(HybridPolicyTest, PackCostsItsMembers) {
  CoreOptions options = HybridOptionsFor(64, {.scheme = "pack", .k = 4});
  options.models[0].hybrid.max_extra_load = 0.5;
  options.models[0].hybrid.gate = {.open = 0, .shut = 3};
  ServedWorld world(options, 1000, [](const Sent& sent) {
    return Milliseconds(sent.task.attempt == AttemptType::kParity ? 20 : 5);
  });
  world.Run(Milliseconds(5000), 1);
  const auto groups = static_cast<double>(world.NumSent(AttemptType::kParity));
  EXPECT_NEAR(groups * 4, 0.5 * static_cast<double>(world.num_queries), 100);
}

TEST(HybridPolicyTest, CommonSlownessStopsAllExtraWork) {
  ServedWorld world(HybridOptionsFor(64, SumOfTwo()), 1000,
                    [](const Sent&) { return Milliseconds(10); });
  world.Run(Milliseconds(1000), 1);
  world.set_service([](const Sent&) { return Milliseconds(100); });
  world.Run(Milliseconds(140), 1);
  const uint64_t before = world.NumSent(AttemptType::kParity);
  world.Run(Milliseconds(50), 1);
  EXPECT_LE(world.NumSent(AttemptType::kParity), before + 2);
}

TEST(HybridPolicyTest, FullTablesShedExtraWorkFirst) {
  for (const bool tight : {false, true}) {
    CoreOptions options = HybridOptionsFor(64, SumOfTwo());
    options.models[0].hedge.budget.burst = 12;
    if (tight) options.max_queries = 10;
    CoreHarness core = HybridCore(options);
    for (size_t i = 0; i < 20; i += 2) {  // earns the budget
      core.Arrive();
      core.Arrive();
      core.Advance(Milliseconds(1));
      core.Reply(Sent{core.out.sent.at(i)});
      core.Reply(Sent{core.out.sent.at(i + 1)});
    }
    core.out.encodes.clear();
    for (int i = 0; i < 10; ++i) core.Arrive();
    // Tight: those that close with at most five queries open.
    EXPECT_THAT(core.out.encodes, SizeIs(tight ? 2 : 5));
    EXPECT_EQ(core.counters().shed_queries, 0U);
  }
}

TEST(HybridPolicyTest, ObserveChangesNoAnswer) {
  CoreOptions options = HybridOptionsFor(16, SumOfTwo());
  options.models[0].mode = PolicyMode::kObserve;
  ServedWorld world(options, 100, [](const Sent& sent) {
    return Milliseconds(Draw(sent) < 0.1 ? 100 : 5);
  });
  world.Run(Milliseconds(2000), 1);
  world.Run(Milliseconds(1000), 0);
  for (const AnswerQuery& answer : world.core.out.answers) {
    EXPECT_EQ(answer.source, AnswerSource::kExact);
  }
  EXPECT_EQ(world.NumSent(AttemptType::kHedge), 0U);
  EXPECT_GT(world.core.model().observed_reconstructions, 50U);
  EXPECT_GT(world.core.model().hedge.observed, 0U);
}

TEST(HybridPolicyTest, ObservedHedgeOfADoubtfulDecodeCountsOnce) {
  // The decode is held before the hedge would be due, or after.
  for (const int64_t decoded_at_ms : {25, 40}) {
    SCOPED_TRACE(decoded_at_ms);
    CoreOptions options = HybridOptionsFor(8, SumOfTwo());
    options.models[0].mode = PolicyMode::kObserve;
    options.models[0].decode.min_confidence = 0.9F;
    CoreHarness core = WarmCore(options);
    const HedgeCounters before = core.model().hedge;
    core.Arrive();
    core.Arrive();
    core.Encoded(core.out.encodes.at(0));
    core.Reply(core.out.sent.at(1));
    core.Reply(core.out.sent.at(2));
    core.Advance(Milliseconds(decoded_at_ms));
    core.Decoded(core.out.decodes.at(0), /*confidence=*/0.5F);
    EXPECT_EQ(core.model().decodes_held, 1U);
    core.Advance(Milliseconds(200));
    EXPECT_EQ(core.model().hedge.observed, before.observed + 1);
    EXPECT_EQ(core.model().hedge.delay.count(), before.delay.count() + 1);
  }
}

TEST(HybridPolicyTest, PoisonStepsAreSurvived) {
  ServedWorld world(HybridOptionsFor(128, SumOfTwo()), 1000,
                    [](const Sent&) { return Milliseconds(10); });
  world.Run(Milliseconds(500), 1);
  for (const double slow : {0.01, 0.03, 0.08, 0.15}) {
    SCOPED_TRACE(slow);
    world.set_service([slow](const Sent& sent) {
      return Milliseconds(Draw(sent) < slow ? 300 : 10);
    });
    world.Run(Milliseconds(1000), 1);
    LatencyHistogram before;
    for (const auto& latency : world.core.model().latency) {
      before.Merge(latency);
    }
    world.Run(Milliseconds(3000), 1);
    LatencyHistogram after;
    for (const auto& latency : world.core.model().latency) after.Merge(latency);
    const double slow_answers =
        static_cast<double>(after.count() - before.count()) -
        static_cast<double>(after.CountAtOrBelow(Milliseconds(60)) -
                            before.CountAtOrBelow(Milliseconds(60)));
    // With neither parity nor hedge it would be 3000 x slow.
    EXPECT_LT(slow_answers, 3000 * (slow * slow + 0.01));
  }
  EXPECT_LE(world.core.model().hedge.delay.Quantile(0.99), Milliseconds(36));
}

TEST(HybridPolicyTest, NeverReplyingWorkerRatchetsNoDelay) {
  ServedWorld world(HybridOptionsFor(24, SumOfTwo()), 8,
                    [](const Sent&) { return Milliseconds(10); });
  world.Run(Milliseconds(500), 1);
  world.set_service([](const Sent& sent) -> std::optional<Duration> {
    if (sent.task.worker == WorkerId{3}) return std::nullopt;
    return Milliseconds(10);
  });
  world.Run(Milliseconds(10'000), 1);
  EXPECT_LE(world.core.model().hedge.delay.Quantile(0.99), Milliseconds(36));
  world.Run(Milliseconds(1000), 0);
  world.ExpectAnsweredOnce();
  world.ExpectCopiesApart();
  EXPECT_EQ(NumErrors(world.core), 0U);
}

TEST(HybridPolicyTest, LowRateAnswersEveryQueryInTime) {
  ServedWorld world(HybridOptionsFor(6, SumOfTwo()), 8, [](const Sent& sent) {
    return Milliseconds(Draw(sent) < 0.1 ? 400 : 10);
  });
  for (int i = 0; i < 400; ++i) {
    world.Run(Milliseconds(1), 1);
    world.Run(Milliseconds(60), 0);
  }
  world.Run(Milliseconds(600), 0);
  world.ExpectAnsweredOnce();
  world.ExpectCopiesApart();
  uint64_t slow = 0;
  for (const auto& latency : world.core.model().latency) {
    slow += static_cast<uint64_t>(latency.count() -
                                  latency.CountAtOrBelow(Milliseconds(100)));
  }
  EXPECT_LT(slow, 8U) << "of the 40 that a single copy would leave";
}

}  // namespace
}  // namespace parm::core
