// The seam for policies: a hedge made of nothing but its hooks.

#include "frontend/core/policies/redundancy_policy.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"

namespace parm::core {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// Sends a second copy 10 ms after the first, or when the first has failed;
// parity only while at most half of the lanes are busy.
class HedgingPolicy final : public RedundancyPolicy {
 public:
  bool JoinsGroup(const Batch& batch,
                  const PolicyHost& /*host*/) const override {
    return batch.signature != 0;
  }
  std::optional<Admission> AdmitParity(const Turn& /*turn*/, const Group& group,
                                       PolicyHost& host) override {
    if (host.BusyShare(group.key.deployed) > 0.5) return std::nullopt;
    return Admission{};
  }
  void OnFirstDispatch(const Turn& turn, Batch& batch,
                       PolicyHost& host) override {
    host.ArmTimer(batch, turn.now + Milliseconds(10));
  }
  void OnTimer(const Turn& turn, Batch& batch, PolicyHost& host) override {
    host.SendCopy(turn, batch, AttemptType::kHedge, /*priority=*/0);
  }
  void OnCopyFailed(const Turn& /*turn*/, Batch& /*batch*/, AttemptType attempt,
                    PolicyHost& /*host*/) override {
    failed.push_back(attempt);
  }
  void OnDecodeHeld(const Turn& turn, Batch& batch, PolicyHost& host) override {
    host.SendCopy(turn, batch, AttemptType::kHedge, /*priority=*/0);
  }
  static std::vector<AttemptType> failed;
};
std::vector<AttemptType> HedgingPolicy::failed;

CoreHarness HedgingCore(CoreOptions options) {
  HedgingPolicy::failed.clear();
  CoreHarness core(options, [](const ModelOptions&) {
    return std::make_unique<HedgingPolicy>();
  });
  for (uint32_t i = 0; i < options.num_workers; ++i) {
    core.Up(i, {.parity = true, .max_in_flight = 2});
    core.heard.push_back(i);
  }
  return core;
}

CoreOptions FourWorkers() { return CodedOptions(4, {.scheme = "sum", .k = 2}); }

TEST(RedundancyPolicyTest, TimerSendsAHedgeThatAnswers) {
  CoreHarness core = HedgingCore(FourWorkers());
  core.Arrive();
  core.Advance(Milliseconds(9));
  EXPECT_THAT(core.out.sent, SizeIs(1));
  core.Advance(Milliseconds(1));
  ASSERT_THAT(core.out.sent, SizeIs(2));
  EXPECT_EQ(core.out.sent[1].task.attempt, AttemptType::kHedge);
  EXPECT_NE(core.out.sent[1].task.worker, core.out.sent[0].task.worker);
  core.Reply(core.out.sent[1]);
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kHedged);
}

TEST(RedundancyPolicyTest, AnsweredBatchGetsNoTimer) {
  CoreHarness core = HedgingCore(FourWorkers());
  core.Arrive();
  core.Reply(core.out.sent.at(0));
  core.Advance(Milliseconds(30));
  EXPECT_THAT(core.out.sent, SizeIs(1));
  core.ExpectEmpty();
}

TEST(RedundancyPolicyTest, ClosedGateLeavesGroupsUnprotected) {
  CoreHarness core = HedgingCore(FourWorkers());
  for (int i = 0; i < 4; ++i) core.Arrive();
  EXPECT_THAT(core.out.encodes, SizeIs(1)) << "two of four lanes were busy";
  EXPECT_EQ(core.model().groups_unprotected, 1U);
}

TEST(RedundancyPolicyTest, HeldDecodeMayBeHedged) {
  CoreOptions options = FourWorkers();
  options.models[0].decode.min_confidence = 0.9F;
  options.models[0].decode.trigger_max = Milliseconds(5);
  CoreHarness core = HedgingCore(options);
  core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  core.Reply(core.out.sent.at(1));
  core.Reply(core.out.sent.at(2));
  core.Advance(Milliseconds(5));
  core.Decoded(core.out.decodes.at(0), /*confidence=*/0.5F);
  ASSERT_THAT(core.out.sent, SizeIs(4));
  core.Reply(core.out.sent[3]);
  EXPECT_EQ(core.out.answers.back().source, AnswerSource::kHedged);
}

TEST(RedundancyPolicyTest, FailedCopyIsReportedAfterTheRetry) {
  CoreHarness core = HedgingCore(FourWorkers());
  core.Arrive();
  core.Handle(WorkerDown{.worker = core.out.sent.at(0).task.worker});
  EXPECT_THAT(HedgingPolicy::failed,
              testing::ElementsAre(AttemptType::kOriginal));
  EXPECT_THAT(core.out.sent, SizeIs(2));
}

TEST(RedundancyPolicyTest, PlainPolicyAddsNothing) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {.parity = true});
  core.Up(1, {.parity = true});
  core.Arrive();
  core.Arrive();
  EXPECT_THAT(core.out.sent, SizeIs(2));
  EXPECT_THAT(core.out.encodes, IsEmpty());
  EXPECT_EQ(core.sizes().groups, 0U);
}

}  // namespace
}  // namespace parm::core
