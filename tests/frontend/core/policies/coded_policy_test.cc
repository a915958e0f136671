// What a group's decodes are called: by the bundle that answered them.

#include "frontend/core/policies/coded_policy.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"

namespace parm::core {
namespace {

using ::testing::SizeIs;

// Worker 0 serves the model, worker 1 what helps it, in this role.
CoreHarness HelpedCore(BundleRole role, CoreOptions options) {
  CoreHarness core(std::move(options));
  core.Up(0, {});
  core.heard = {0, 1};
  const std::vector<ServedBundle> served = {
      {kParity, kModel, role,
       role == BundleRole::kBackup ? kParity : kDeployed}};
  core.Handle(WorkerUp{.worker = WorkerId{1},
                       .nonce = 1,
                       .fault_domain = 1,
                       .max_in_flight = 1,
                       .bundles = served});
  return core;
}

CoreOptions BackupOptions(int k) {
  CoreOptions options = CodedOptions(2, {.scheme = "pack", .k = k});
  options.models[0].policy = PolicyKind::kBackup;
  return options;
}

TEST(CodedPolicyTest, AnswersAreNamedAfterWhoGaveThem) {
  for (const auto& [role, source] :
       {std::pair{BundleRole::kBackup, AnswerSource::kBackup},
        std::pair{BundleRole::kParity, AnswerSource::kReconstructed}}) {
    CoreHarness core = HelpedCore(role, BackupOptions(1));
    core.Arrive();
    core.Encoded(core.out.encodes.at(0));
    ASSERT_THAT(core.out.sent, SizeIs(2)) << "a copy at once";
    EXPECT_EQ(core.out.sent[1].task.priority, 1);
    EXPECT_EQ(core.out.sent[1].task.bundle, kParity);
    core.Reply(Sent{core.out.sent[1]});
    EXPECT_THAT(core.out.decodes, SizeIs(0)) << "held until the trigger";
    core.Advance(Milliseconds(50));
    core.Decoded(Decode{core.out.decodes.at(0)}, /*confidence=*/0.8F);
    ASSERT_THAT(core.out.answers, SizeIs(1));
    EXPECT_EQ(core.out.answers[0].source, source);
    EXPECT_EQ(core.out.answers[0].confidence, 0.8F);
    EXPECT_EQ(core.model().answers[static_cast<size_t>(source)], 1U);
  }
}

TEST(CodedPolicyTest, BackupNeverAnswersExactQueries) {
  CoreHarness core = HelpedCore(BundleRole::kBackup, BackupOptions(1));
  core.Arrive({.mode = AnswerMode::kExact});
  EXPECT_THAT(core.out.encodes, SizeIs(0));
  core.Advance(Milliseconds(400));
  EXPECT_THAT(core.out.answers, SizeIs(0));
  core.Reply(Sent{core.out.sent.at(0)});
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kExact);
}

TEST(CodedPolicyTest, ObservedBackupChangesNoAnswer) {
  CoreOptions options = BackupOptions(1);
  options.models[0].mode = PolicyMode::kObserve;
  CoreHarness core = HelpedCore(BundleRole::kBackup, options);
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  core.Reply(Sent{core.out.sent.at(1)});
  core.Advance(Milliseconds(50));
  core.Decoded(Decode{core.out.decodes.at(0)});
  EXPECT_THAT(core.out.answers, SizeIs(0));
  EXPECT_EQ(core.model().observed_reconstructions, 1U);
  core.Reply(Sent{core.out.sent[0]});
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kExact);
  EXPECT_THAT(core.out.compared, SizeIs(1)) << "it tells how good it was";
}

}  // namespace
}  // namespace parm::core
