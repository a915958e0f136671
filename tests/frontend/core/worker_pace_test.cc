// What slow answers say about a worker, and how long that is remembered.

#include "frontend/core/worker_pace.h"

#include "gtest/gtest.h"

namespace parm::core {
namespace {

constexpr Time kNow = Time{} + Milliseconds(10'000);

TEST(WorkerPaceTest, OneSlowAnswerSaysNothing) {
  WorkerPace pace;
  pace.OnAnswer(kNow, 10);
  EXPECT_EQ(pace.Excess(kNow), 0);
  pace.OnAnswer(kNow, 1);
  pace.OnAnswer(kNow, 10);
  EXPECT_EQ(pace.Excess(kNow), 0);
}

TEST(WorkerPaceTest, TwoSlowAnswersInARowAreBelieved) {
  WorkerPace pace;
  pace.OnAnswer(kNow, 10);
  pace.OnAnswer(kNow, 2.5);
  EXPECT_NEAR(pace.Excess(kNow), 1.5, 1e-9) << "as much as both say";
}

TEST(WorkerPaceTest, AnswerInTimeClearsAllAtOnce) {
  WorkerPace pace;
  for (int i = 0; i < 5; ++i) pace.OnAnswer(kNow, 5);
  EXPECT_GT(pace.Excess(kNow), 1);
  pace.OnAnswer(kNow, 1.1);
  EXPECT_EQ(pace.Excess(kNow), 0);
}

// How long until it would be tried before a worker with one task.
Duration ShunnedFor(const WorkerPace& pace) {
  Duration span{0};
  while (pace.Excess(kNow + span) >= 1) span += Milliseconds(10);
  return span;
}

TEST(WorkerPaceTest, SlowWorkerIsTriedEverMoreSeldom) {
  WorkerPace pace;
  pace.OnAnswer(kNow, 5);
  Duration before{0};
  for (int i = 0; i < 4; ++i) {
    pace.OnAnswer(kNow, 5);
    EXPECT_GT(ShunnedFor(pace), before * 3 / 2);
    before = ShunnedFor(pace);
  }
  for (int i = 0; i < 100; ++i) pace.OnAnswer(kNow, 5);
  EXPECT_LT(ShunnedFor(pace), Milliseconds(20'000)) << "but it is tried";
}

TEST(WorkerPaceTest, ClockThatStepsBackForgetsNothing) {
  WorkerPace pace;
  pace.OnAnswer(kNow, 3);
  pace.OnAnswer(kNow, 3);
  EXPECT_NEAR(pace.Excess(kNow - Milliseconds(5000)), 2, 1e-9);
}

TEST(WorkerPaceTest, ErrorsRaiseTheApparentLoad) {
  WorkerPace pace;
  pace.OnError();
  EXPECT_GE(pace.Excess(kNow), 2) << "more than a slow worker";
  for (int i = 0; i < 100; ++i) pace.OnError();
  const double most = pace.Excess(kNow);
  pace.OnSuccess();
  EXPECT_NEAR(pace.Excess(kNow), most / 2, 1e-9);
  for (int i = 0; i < 20; ++i) pace.OnSuccess();
  EXPECT_EQ(pace.Excess(kNow), 0);
}

}  // namespace
}  // namespace parm::core
