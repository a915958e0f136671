#include "frontend/core/agreement_gate.h"

#include <cstdint>
#include <optional>

#include "gtest/gtest.h"

namespace parm::core {
namespace {

using Change = AgreementGate::Change;

// One sample after the other, of which each `wrong_every`-th disagrees; 0:
// none. Returns how often the gate moved.
int AddEach(AgreementGate& gate, int samples, int wrong_every) {
  int changes = 0;
  for (int i = 1; i <= samples; ++i) {
    const bool wrong = wrong_every > 0 && i % wrong_every == 0;
    changes += gate.Add(1, wrong ? 0 : 1) == Change::kNone ? 0 : 1;
  }
  return changes;
}

TEST(AgreementGateTest, FewSamplesCloseNothing) {
  AgreementGate gate(0.8);
  EXPECT_EQ(gate.Add(99, 0), Change::kNone);
  EXPECT_FALSE(gate.closed());
  EXPECT_EQ(gate.agreement(), std::nullopt);
}

TEST(AgreementGateTest, ClosesBelowTheFloorAndOpensAboveIt) {
  AgreementGate gate(0.8);
  EXPECT_EQ(AddEach(gate, 1000, /*wrong_every=*/10), 0);
  EXPECT_NEAR(gate.agreement().value_or(0), 0.9, 0.01);
  EXPECT_EQ(AddEach(gate, 1000, /*wrong_every=*/2), 1);
  EXPECT_TRUE(gate.closed());
  EXPECT_EQ(AddEach(gate, 2000, /*wrong_every=*/10), 1);
  EXPECT_FALSE(gate.closed());
}

TEST(AgreementGateTest, DoesNotFlutterAtTheFloor) {
  AgreementGate gate(0.8);
  EXPECT_EQ(gate.Add(1000, 799), Change::kClosed);
  // 0.81 is within the hysteresis, 0.83 is not.
  EXPECT_EQ(gate.Add(1000, 810), Change::kNone);
  EXPECT_TRUE(gate.closed());
  EXPECT_EQ(gate.Add(1000, 830), Change::kOpened);
  EXPECT_EQ(gate.Add(1000, 800), Change::kNone);
  EXPECT_FALSE(gate.closed());
}

TEST(AgreementGateTest, AHighFloorCanBeReachedAgain) {
  AgreementGate gate(0.99);
  EXPECT_EQ(gate.Add(1000, 980), Change::kClosed);
  EXPECT_EQ(gate.Add(1000, 996), Change::kOpened);
}

TEST(AgreementGateTest, OldSamplesAreForgotten) {
  AgreementGate gate(std::nullopt);
  AddEach(gate, 1000, /*wrong_every=*/2);
  EXPECT_LT(gate.agreement().value_or(1), 0.6);
  AddEach(gate, 2500, /*wrong_every=*/0);
  EXPECT_GT(gate.agreement().value_or(0), 0.99);
  EXPECT_FALSE(gate.closed()) << "without a floor it only tells";
  gate.Add(UINT32_MAX, 0);
  EXPECT_EQ(gate.agreement(), 0.0);
}

}  // namespace
}  // namespace parm::core
