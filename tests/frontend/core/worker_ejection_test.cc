// Who gets no tasks for a while, for how long, and how he comes back.

#include "frontend/core/worker_ejection.h"

#include <cmath>

#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"

namespace parm::core {
namespace {

constexpr EjectionOptions kQuick = {.consecutive_5xx = 3,
                                    .consecutive_gateway_failure = 2,
                                    .interval = Milliseconds(1000),
                                    .base_ejection_time = Milliseconds(400),
                                    .max_ejection_time = Milliseconds(1000),
                                    .max_ejection_percent = 30};

class WorkerEjectionTest : public ::testing::Test {
 protected:
  explicit WorkerEjectionTest(EjectionOptions options = kQuick)
      : table(10), ejection(options, table, counters) {
    for (uint32_t i = 0; i < 10; ++i) Up(i);
    ejection.RunDue(now);  // an interval begins
  }

  Worker& Up(uint32_t index, BundleKey bundle = kDeployed) {
    Worker& worker = table.at(WorkerId{index});
    const std::vector<ServedBundle> bundles = {
        {bundle, kModel, BundleRole::kDeployed, bundle}};
    table.SetServed(worker, {.worker = worker.id,
                             .nonce = 1,
                             .max_in_flight = 4,
                             .bundles = bundles});
    table.SetState(worker, WorkerState::kAlive);
    return worker;
  }
  void Fail(uint32_t index, int times) {
    for (int i = 0; i < times; ++i) {
      ejection.OnError(now, table.at(WorkerId{index}));
    }
  }
  EjectionStage StageOf(uint32_t index) {
    return table.at(WorkerId{index}).ejection.stage;
  }
  void Pass(Duration span) {
    now += span;
    ejection.RunDue(now);
  }
  // How long an ejection lasts that begins now, to 100 ms.
  Duration TimeOut(uint32_t index) {
    const Time begin = now;
    while (StageOf(index) == EjectionStage::kOut) Pass(Milliseconds(100));
    return now - begin;
  }

  EjectionCounters counters;
  WorkerTable table;
  WorkerEjection ejection;
  Time now = Time{} + Milliseconds(5000);
};

TEST_F(WorkerEjectionTest, ErrorsInARowEject) {
  Fail(0, 2);
  ejection.OnAnswer(now, table.at(WorkerId{0}), 1);
  Fail(0, 2);
  EXPECT_EQ(StageOf(0), EjectionStage::kIn) << "an answer came between";
  Fail(0, 1);
  EXPECT_EQ(StageOf(0), EjectionStage::kOut);
  EXPECT_EQ(counters.enforced[0], 1U);
  EXPECT_EQ(counters.ejected_now, 1U);
  for (int i = 0; i < 20; ++i) {
    EXPECT_NE(table.Pick(*table.Find(kDeployed), {.now = now})->id,
              WorkerId{0});
  }
  EXPECT_EQ(table.LanesOf(kDeployed).all, 9U);
}

TEST_F(WorkerEjectionTest, LossesInARowEject) {
  Worker& worker = table.at(WorkerId{4});
  ejection.OnUnreachable(now, worker);
  EXPECT_EQ(StageOf(4), EjectionStage::kIn);
  ejection.OnUnreachable(now, worker);
  EXPECT_EQ(StageOf(4), EjectionStage::kOut);
  EXPECT_EQ(counters.enforced[1], 1U);
}

TEST_F(WorkerEjectionTest, TrialIsOneTaskAtATime) {
  Fail(0, 3);
  Pass(Milliseconds(400));
  Worker& worker = table.at(WorkerId{0});
  ASSERT_EQ(worker.ejection.stage, EjectionStage::kTrial);
  EXPECT_EQ(counters.ejected_now, 0U);
  EXPECT_TRUE(WorkerTable::HasSlot(worker, /*redundant=*/false));
  worker.outstanding = 1;
  EXPECT_FALSE(WorkerTable::HasSlot(worker, /*redundant=*/false));
  ejection.OnAnswer(now, worker, 1);
  EXPECT_EQ(worker.ejection.stage, EjectionStage::kIn);
  EXPECT_EQ(counters.readmitted, 1U);
  EXPECT_TRUE(WorkerTable::HasSlot(worker, /*redundant=*/false));
}

TEST_F(WorkerEjectionTest, TimeDoublesUpToItsBoundAndFallsAgain) {
  Fail(0, 3);
  EXPECT_EQ(TimeOut(0), Milliseconds(400));
  Fail(0, 1);
  EXPECT_EQ(TimeOut(0), Milliseconds(800)) << "the trial failed";
  Fail(0, 1);
  EXPECT_EQ(TimeOut(0), Milliseconds(1000)) << "max_ejection_time";
  ejection.OnAnswer(now, table.at(WorkerId{0}), 1);
  for (int i = 0; i < 5; ++i) Pass(Milliseconds(1000));
  Fail(0, 3);
  EXPECT_EQ(TimeOut(0), Milliseconds(400)) << "forgiven";
}

TEST_F(WorkerEjectionTest, ShareOfTheEjectedIsCapped) {
  for (uint32_t i = 0; i < 4; ++i) Fail(i, 3);
  EXPECT_EQ(counters.ejected_now, 3U);
  EXPECT_EQ(StageOf(3), EjectionStage::kIn);
  EXPECT_EQ(counters.overflow, 1U);
}

TEST_F(WorkerEjectionTest, LastWorkerOfABundleStays) {
  Up(0, BundleKey{77});
  Up(1, BundleKey{77});
  Fail(0, 3);
  Fail(1, 30);
  EXPECT_EQ(StageOf(0), EjectionStage::kOut);
  EXPECT_EQ(StageOf(1), EjectionStage::kIn);
  EXPECT_GT(counters.overflow, 0U);
}

TEST_F(WorkerEjectionTest, CommonTroubleEjectsNobody) {
  for (uint32_t i = 0; i < 6; ++i) Fail(i, 2);
  Fail(0, 5);
  EXPECT_EQ(StageOf(0), EjectionStage::kIn);
  EXPECT_GT(counters.braked, 0U);
}

TEST_F(WorkerEjectionTest, RestartIsForgiven) {
  Fail(0, 3);
  ejection.OnRestart(table.at(WorkerId{0}));
  EXPECT_EQ(StageOf(0), EjectionStage::kIn);
  EXPECT_EQ(counters.ejected_now, 0U);
}

class LateWorkerTest : public WorkerEjectionTest {
 protected:
  LateWorkerTest() : WorkerEjectionTest(Options()) {}
  static EjectionOptions Options() {
    EjectionOptions options = kQuick;
    options.latency_factor = 2;
    return options;
  }
  void Answer(uint32_t index, int times, double ratio) {
    for (int i = 0; i < times; ++i) {
      ejection.OnAnswer(now, table.at(WorkerId{index}), ratio);
    }
  }
};

TEST_F(LateWorkerTest, MostlyLateAnswersEjectAtTheInterval) {
  Answer(0, 4, 5);
  Answer(0, 3, 1);
  Answer(1, 4, 5);
  Answer(1, 5, 1);
  Answer(2, 4, 9);
  Pass(Milliseconds(1000));
  EXPECT_EQ(StageOf(0), EjectionStage::kOut);
  EXPECT_EQ(StageOf(1), EjectionStage::kIn) << "mostly in time";
  EXPECT_EQ(StageOf(2), EjectionStage::kIn) << "too few answers to tell";
  EXPECT_EQ(counters.enforced[2], 1U);
}

TEST_F(LateWorkerTest, LateTrialIsNoReadmission) {
  Answer(0, 9, 5);
  Pass(Milliseconds(1000));
  Pass(Milliseconds(400));
  ASSERT_EQ(StageOf(0), EjectionStage::kTrial);
  Answer(0, 1, 5);
  EXPECT_EQ(StageOf(0), EjectionStage::kOut);
}

TEST_F(LateWorkerTest, CommonLatenessEjectsNobody) {
  for (uint32_t i = 0; i < 6; ++i) Answer(i, 9, 5);
  Pass(Milliseconds(1000));
  EXPECT_EQ(counters.ejected_now, 0U);
  EXPECT_GT(counters.braked, 0U);
}

TEST(CoreEjectionTest, EjectedWorkerComesBackByATrial) {
  CoreOptions options = PlainOptions(10);
  options.ejection = kQuick;
  options.balancing.choice = WorkerChoice::kRoundRobin;
  CoreHarness core(options);
  for (uint32_t i = 0; i < 10; ++i) {
    core.Up(i, {.domain = i, .max_in_flight = 4});
    core.heard.push_back(i);
  }
  bool broken = true;
  size_t seen = 0;
  uint64_t at_worker_0 = 0;
  const auto run = [&](int milliseconds) {
    at_worker_0 = 0;
    for (int i = 0; i < milliseconds; ++i) {
      core.Arrive();
      core.Advance(Milliseconds(1));
      for (; seen < core.out.sent.size(); ++seen) {
        const Sent sent = core.out.sent[seen];
        const bool at_0 = sent.task.worker == WorkerId{0};
        at_worker_0 += at_0 ? 1 : 0;
        if (broken && at_0) {
          core.Fail(sent, TaskStatus::kError, /*retryable=*/true);
        } else {
          core.Reply(sent);
        }
      }
    }
  };
  run(1500);
  EXPECT_GE(core.counters().ejections.enforced[0], 1U);
  EXPECT_EQ(core.counters().ejections.ejected_now, 1U);
  EXPECT_LE(at_worker_0, 10U);
  broken = false;
  run(1500);
  EXPECT_EQ(core.counters().ejections.readmitted, 1U);
  EXPECT_GT(at_worker_0, 50U) << "it has its part again";
  for (const AnswerQuery& answer : core.out.answers) {
    EXPECT_EQ(answer.source, AnswerSource::kExact);
  }
}

}  // namespace
}  // namespace parm::core
