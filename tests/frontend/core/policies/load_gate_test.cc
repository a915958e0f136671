// How load is measured, and how much redundancy it leaves room for.

#include "frontend/core/policies/load_gate.h"

#include "gtest/gtest.h"

namespace parm::core {
namespace {

constexpr GateOptions kGate = {
    .open = 0.6, .shut = 0.8, .calm_shut = 0.7, .window = Milliseconds(1000)};

LoadGate GateAt(double load) {
  LoadGate gate(kGate);
  gate.Sample(Time{} + Milliseconds(1'000'000), load);
  return gate;
}

TEST(LoadGateTest, FirstSampleIsTheLoad) {
  EXPECT_NEAR(GateAt(0.3).load(), 0.3, 1e-9);
}

TEST(LoadGateTest, LoadFollowsAStepWithinItsWindow) {
  LoadGate gate = GateAt(0.2);
  const Time start = Time{} + Milliseconds(1'000'000);
  for (int ms = 1; ms <= 1000; ++ms) {
    gate.Sample(start + Milliseconds(ms), 0.8);
  }
  EXPECT_NEAR(gate.load(), 0.8 - 0.6 / 2.718, 0.01);
}

TEST(LoadGateTest, BurstOfSamplesCountsForItsTimeOnly) {
  LoadGate gate = GateAt(0.2);
  const Time now = Time{} + Milliseconds(1'000'001);
  for (int i = 0; i < 1000; ++i) gate.Sample(now, 1);
  EXPECT_LT(gate.load(), 0.21);
}

TEST(LoadGateTest, SamplesAreWantedNowAndThen) {
  const LoadGate gate = GateAt(0.2);
  const Time sampled = Time{} + Milliseconds(1'000'000);
  EXPECT_FALSE(gate.WantsSample(sampled + Milliseconds(7)));
  EXPECT_TRUE(gate.WantsSample(sampled + Milliseconds(8)));
}

TEST(LoadGateTest, ClockThatStepsBackChangesNothing) {
  LoadGate gate = GateAt(0.2);
  gate.Sample(Time{} + Milliseconds(5), 1);
  EXPECT_NEAR(gate.load(), 0.2, 1e-9);
}

TEST(LoadGateTest, OpeningFadesWithTheLoadAfterTheExtraWork) {
  EXPECT_NEAR(GateAt(0.4).Opening(0.75), 1, 1e-9);
  EXPECT_NEAR(GateAt(0.5).Opening(0.5), 0.5, 1e-9);
  EXPECT_NEAR(GateAt(0.4).Opening(1), 0, 1e-9);
  EXPECT_EQ(GateAt(0.9).Opening(0.25), 0);
}

TEST(LoadGateTest, WhileItIsCalmItShutsEarlier) {
  LoadGate gate = GateAt(0.65);
  EXPECT_EQ(gate.Opening(0), 1);
  gate.set_calm(true);
  EXPECT_NEAR(gate.Opening(0), 0.5, 1e-9);
  EXPECT_EQ(gate.Opening(0.1), 0);
  gate.set_calm(false);
  EXPECT_EQ(gate.Opening(0), 1);
}

TEST(LoadGateTest, RoomIsAmpleBelowOpenOnly) {
  EXPECT_TRUE(GateAt(0.39).HasAmpleRoom(0.5));
  EXPECT_FALSE(GateAt(0.41).HasAmpleRoom(0.5));
}

TEST(LoadGateTest, HalfOpenGatePassesEverySecond) {
  LoadGate gate = GateAt(0.75);
  int passed = 0;
  for (int i = 0; i < 100; ++i) {
    const bool before = gate.Pass(0);
    const bool after = gate.Pass(0);
    EXPECT_LE(before + after, 1) << "evenly, not in a row";
    passed += before + after;
  }
  EXPECT_NEAR(passed, 100, 1);
}

TEST(LoadGateTest, ShutGatePassesNothing) {
  LoadGate gate = GateAt(0.8);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(gate.Pass(0));
}

}  // namespace
}  // namespace parm::core
