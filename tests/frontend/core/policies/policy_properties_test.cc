// What every policy must keep, on virtual time; each test is one of these
// properties, and runs for each policy.

#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/frontend/core/policies/served_world.h"

namespace parm::core {
namespace {

constexpr uint32_t kWorkers = 16;
constexpr Duration kService = Milliseconds(10);

struct Property {
  std::string policy;
  CoreOptions options;
  double max_share = 0;  // of ordinary service
  bool hedges = false;
};

void PrintTo(const Property& property, std::ostream* out) {
  *out << property.policy;
}

Property BackupProperty() {
  Property property = {"backup",
                       CodedOptions(kWorkers, {.scheme = "pack", .k = 1}), 1};
  property.options.models[0].policy = PolicyKind::kBackup;
  return property;
}

std::vector<Property> EveryPolicy() {
  const CodeSpec pair = {.scheme = "sum", .k = 2};
  return {
      {"none", PlainOptions(kWorkers)},
      {"hedge", HedgeOptionsFor(kWorkers, Milliseconds(30)), 0.1, true},
      {"replicate", ReplicateOptions(kWorkers, CancelLoser::kAtEnd), 1},
      {"replicate_start", ReplicateOptions(kWorkers, CancelLoser::kAtStart), 1},
      BackupProperty(),
      {"coded", CodedOptions(kWorkers, pair), 0.5},
      {"hybrid", HybridOptionsFor(kWorkers, pair), 1, true},
  };
}

// That share of the tasks takes ten times as long.
ServedWorld::Service SlowJobs(double share) {
  return [share](const Sent& sent) {
    return Draw(sent) < share ? 10 * kService : kService;
  };
}

class PolicyPropertiesTest : public ::testing::TestWithParam<Property> {
 protected:
  static std::unique_ptr<ServedWorld> World(
      ServedWorld::Service service = SlowJobs(0)) {
    return std::make_unique<ServedWorld>(GetParam().options,
                                         /*max_in_flight=*/16,
                                         std::move(service));
  }
  // Long enough that nothing is remembered.
  static void Forget(ServedWorld& world) { world.Run(Milliseconds(12'000), 0); }
  static uint64_t NumErrors(const ServedWorld& world) {
    return world.core.model()
        .answers[static_cast<size_t>(AnswerSource::kError)];
  }
  static uint64_t NumExtra(const ServedWorld& world) {
    return world.NumSent(AttemptType::kHedge) +
           world.NumSent(AttemptType::kParity);
  }
};

TEST_P(PolicyPropertiesTest, EachQueryHasExactlyOneAnswer) {
  const auto world = World([](const Sent& sent) -> std::optional<Duration> {
    if (Draw(sent) < 0.03) return std::nullopt;  // never
    return Draw(sent) < 0.1 ? 10 * kService : kService;
  });
  world->Run(Milliseconds(2000), 1);
  Forget(*world);
  world->ExpectAnsweredOnce();
}

TEST_P(PolicyPropertiesTest, ExtraWorkStaysWithinItsBudget) {
  const auto world = World(SlowJobs(0.08));
  constexpr int kSeconds = 5;
  world->Run(Milliseconds(1000 * kSeconds), 1);
  Forget(*world);
  const HedgeCounters& work = world->core.model().hedge;
  const double mean_s = 1.72 * ToSeconds(kService);
  const BudgetOptions& budget = GetParam().options.models[0].hedge.budget;
  const double beside =
      GetParam().max_share > 0
          ? mean_s * (budget.min_per_second * kSeconds + budget.burst + 1) +
                0.5  // what is out, and the luck of single jobs
          : 0;
  EXPECT_LE(
      ToSeconds(work.extra_service),
      GetParam().max_share * ToSeconds(work.ordinary_service) * 1.05 + beside);
  EXPECT_EQ(work.extra_service > Duration{0}, GetParam().max_share > 0);
}

TEST_P(PolicyPropertiesTest, NoCopyGoesToTheSameWorker) {
  const auto world = World(SlowJobs(0.2));
  world->Run(Milliseconds(2000), 1);
  world->ExpectCopiesApart();
}

TEST_P(PolicyPropertiesTest, CancelledWorkDoesNotLeak) {
  const auto world = World(SlowJobs(0.2));
  world->Run(Milliseconds(2000), 1);
  Forget(*world);
  world->core.ExpectEmpty();
}

TEST_P(PolicyPropertiesTest, PoisonStepsAreSurvived) {
  const auto world = World();
  world->Run(Milliseconds(500), 1);
  for (const double slow : {0.01, 0.03, 0.08, 0.2, 0.3}) {
    world->set_service(SlowJobs(slow));
    world->Run(Milliseconds(1500), 1);
  }
  Forget(*world);
  world->ExpectAnsweredOnce();
  EXPECT_EQ(NumErrors(*world), 0U);
  // Three times the median, and a bucket; later where the budget was spent.
  EXPECT_LE(world->core.model().hedge.delay.Quantile(0.5), Milliseconds(36));
  if (GetParam().hedges) {
    EXPECT_GT(world->NumSent(AttemptType::kHedge), 100U);
  }
}

TEST_P(PolicyPropertiesTest, NeverReplyingWorkerRatchetsNothing) {
  const auto world = World();
  world->Run(Milliseconds(500), 1);
  world->set_service([](const Sent& sent) -> std::optional<Duration> {
    if (sent.task.worker == WorkerId{3}) return std::nullopt;
    return kService;
  });
  world->Run(Milliseconds(8000), 1);
  EXPECT_LE(world->core.model().hedge.delay.Quantile(0.99), Milliseconds(36));
  const auto exact = static_cast<size_t>(AnswerSource::kExact);
  EXPECT_LE(world->core.model().latency[exact].Quantile(0.99),
            Milliseconds(20));
  // Its slots are filled again as often as they are given up.
  EXPECT_LT(NumErrors(*world), world->num_queries / 50);
  Forget(*world);
  world->ExpectAnsweredOnce();
}

TEST_P(PolicyPropertiesTest, LowRateIsAnsweredInTime) {
  const auto world = World();
  for (int i = 0; i < 40; ++i) {
    world->Run(Milliseconds(1), 1);
    world->Run(Milliseconds(499), 0);
  }
  world->ExpectAnsweredOnce();
  for (const LatencyHistogram& latency : world->core.model().latency) {
    EXPECT_LE(latency.Quantile(1), Milliseconds(13));
  }
}

TEST_P(PolicyPropertiesTest, AllWorkersDeadLeaveNothingBehind) {
  const auto world = World([](const Sent&) { return std::nullopt; });
  world->Run(Milliseconds(50), 1);
  for (uint32_t i = 0; i < kWorkers; ++i) {
    world->core.Handle(WorkerDown{.worker = WorkerId{i}});
  }
  world->core.heard.clear();
  world->Run(Milliseconds(50), 1);
  Forget(*world);
  world->ExpectAnsweredOnce();
  world->core.ExpectEmpty();
}

TEST_P(PolicyPropertiesTest, AllPausedAnswerAgainWhenTheyResume) {
  const auto world = World();
  world->Run(Milliseconds(500), 1);
  const std::vector<uint32_t> all = world->core.heard;
  const Time resume = world->core.now() + Milliseconds(2000);
  ServedWorld* const paused = world.get();
  world->set_service([paused, resume](const Sent&) {
    return resume - paused->core.now() + kService;
  });
  world->core.heard.clear();
  const uint64_t before = NumExtra(*world);
  world->Run(Milliseconds(2000), 1);
  // What was under way is sent again or doubled once, and then no more.
  EXPECT_LE(NumExtra(*world) - before, 16U * kWorkers);
  world->core.heard = all;
  world->set_service(SlowJobs(0));
  world->Run(Milliseconds(1500), 1);
  const uint64_t errors = NumErrors(*world);
  world->Run(Milliseconds(1000), 1);
  EXPECT_EQ(NumErrors(*world), errors) << "all is as before";
  Forget(*world);
  world->ExpectAnsweredOnce();
  world->core.ExpectEmpty();
}

TEST_P(PolicyPropertiesTest, RetryableErrorIsSentElsewhereAtOnce) {
  const auto world = World([](const Sent&) { return std::nullopt; });
  CoreHarness& core = world->core;
  core.Arrive({.signature = 0});
  const size_t copies = core.out.sent.size();
  for (size_t i = 0; i < copies; ++i) {
    core.Fail(Sent{core.out.sent[i]}, TaskStatus::kError, /*retryable=*/true);
  }
  ASSERT_EQ(core.out.sent.size(), copies + 1);
  const Sent retry = core.out.sent.back();
  EXPECT_EQ(retry.task.attempt, AttemptType::kRetry);
  EXPECT_NE(retry.task.worker, core.out.sent[copies - 1].task.worker);
  core.Advance(Milliseconds(100));
  EXPECT_EQ(core.out.sent.size(), copies + 1) << "full queues get no copy";
  core.Reply(retry);
  ASSERT_EQ(core.out.answers.size(), 1U);
  EXPECT_EQ(core.out.answers[0].source, AnswerSource::kExact);
}

TEST_P(PolicyPropertiesTest, PermanentErrorIsAnsweredAtOnce) {
  const auto world = World([](const Sent&) { return std::nullopt; });
  CoreHarness& core = world->core;
  core.Arrive({.signature = 0});
  const size_t copies = core.out.sent.size();
  for (size_t i = 0; i < copies; ++i) {
    core.Fail(Sent{core.out.sent[i]}, TaskStatus::kError);
  }
  ASSERT_EQ(core.out.answers.size(), 1U);
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kBackend);
  core.Advance(Milliseconds(100));
  EXPECT_EQ(core.out.sent.size(), copies);
}

TEST_P(PolicyPropertiesTest, FurtherAttemptGetsNoExtraWork) {
  const auto world = World([](const Sent&) { return std::nullopt; });
  CoreHarness& core = world->core;
  for (int i = 0; i < 4; ++i) core.Arrive({.further_attempt = true});
  core.Advance(Milliseconds(400));
  EXPECT_EQ(core.out.sent.size(), 4U);
  EXPECT_TRUE(core.out.encodes.empty());
  EXPECT_EQ(core.model().further_attempts, 4U);
  core.Fail(Sent{core.out.sent[0]}, TaskStatus::kError, /*retryable=*/true);
  EXPECT_EQ(core.out.sent.size(), 5U) << "a retry of lost work is not extra";
  core.Reply(Sent{core.out.sent[4]});
  ASSERT_EQ(core.out.answers.size(), 1U);
  EXPECT_EQ(core.out.answers[0].source, AnswerSource::kExact);
}

TEST_P(PolicyPropertiesTest, ClockJumpsOfTenSecondsAreSurvived) {
  const auto world = World();
  for (int i = 0; i < 3; ++i) {
    world->Run(Milliseconds(300), 1);
    const uint64_t before = NumExtra(*world);
    world->core.Jump(Milliseconds(10'000));
    EXPECT_LE(NumExtra(*world), before + kWorkers) << "not for what is over";
  }
  world->Run(Milliseconds(1000), 1);
  Forget(*world);
  world->ExpectAnsweredOnce();
  world->core.ExpectEmpty();
}

TEST_P(PolicyPropertiesTest, AllIsWellSoonAfterFaultsStop) {
  const auto world = World([](const Sent& sent) -> std::optional<Duration> {
    if (Draw(sent) < 0.2) return std::nullopt;
    return Draw(sent) < 0.4 ? 10 * kService : kService;
  });
  world->Run(Milliseconds(500), 1);
  for (const uint32_t i : {0U, 1U, 2U}) {
    world->core.Handle(WorkerDown{.worker = WorkerId{i}});
    std::erase(world->core.heard, i);
  }
  world->Run(Milliseconds(1500), 1);
  world->set_service(SlowJobs(0));
  for (const uint32_t i : {0U, 1U, 2U}) world->Start(i, /*nonce=*/2);
  world->Run(Milliseconds(3000), 1);
  const uint64_t errors = NumErrors(*world);
  const uint64_t extra = NumExtra(*world);
  const size_t sent = world->core.out.sent.size();
  // A slow job now and then, so that a hedge has something to do.
  world->set_service(SlowJobs(0.05));
  world->Run(Milliseconds(1000), 1);
  EXPECT_EQ(NumErrors(*world), errors);
  std::set<WorkerId> workers;
  for (size_t i = sent; i < world->core.out.sent.size(); ++i) {
    workers.insert(world->core.out.sent[i].task.worker);
  }
  EXPECT_EQ(workers.size(), kWorkers) << "every one is back";
  EXPECT_EQ(NumExtra(*world) > extra, GetParam().max_share > 0)
      << "redundancy is resumed";
}

INSTANTIATE_TEST_SUITE_P(EveryPolicy, PolicyPropertiesTest,
                         ::testing::ValuesIn(EveryPolicy()),
                         [](const ::testing::TestParamInfo<Property>& named) {
                           return named.param.policy;
                         });

}  // namespace
}  // namespace parm::core
