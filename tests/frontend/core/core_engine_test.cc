// The life of single queries through the whole core, step by step.

#include "frontend/core/core_engine.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"
#include "tests/support/matchers.h"

namespace parm::core {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TEST(CoreEngineTest, ExactAnswerLeavesInTheReplysCall) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  const QueryId query = core.Arrive();
  ASSERT_THAT(core.out.sent, SizeIs(1));
  EXPECT_THAT(core.out.sent[0].inputs, ElementsAre(core.InputOf(query)));
  EXPECT_EQ(core.out.sent[0].task.attempt, AttemptType::kOriginal);
  const BufferId output = core.Reply(core.out.sent[0]);
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].query, query);
  EXPECT_EQ(core.out.answers[0].source, AnswerSource::kExact);
  EXPECT_EQ(core.out.answers[0].output, output);
  EXPECT_EQ(core.out.answers[0].num_samples, 1U);
  core.ExpectEmpty();
}

TEST(CoreEngineTest, UnansweredQueryEndsAtItsDeadline) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.heard = {0};
  core.Arrive();
  core.Advance(Milliseconds(499));
  EXPECT_THAT(core.out.answers, SizeIs(0));
  core.Advance(Milliseconds(1));
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].source, AnswerSource::kError);
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kDeadlineExceeded);
  EXPECT_THAT(core.out.cancelled, SizeIs(1));
  // The worker may still be at it: its slot counts for a while.
  EXPECT_EQ(core.sizes().tasks, 1U);
  core.Advance(Milliseconds(500));
  core.ExpectEmpty();
}

TEST(CoreEngineTest, LostMemberIsReconstructedAtTheTrigger) {
  CoreHarness core(CodedOptions(3, {.scheme = "sum", .k = 2}));
  core.Up(0, {});
  core.Up(1, {});
  core.Up(2, {.deployed = false, .parity = true});
  core.heard = {0, 1, 2};
  const QueryId lost = core.Arrive();
  core.Arrive();
  ASSERT_THAT(core.out.sent, SizeIs(2));
  ASSERT_THAT(core.out.encodes, SizeIs(1));
  const BufferId parity = core.Encoded(core.out.encodes[0]);
  ASSERT_THAT(core.out.sent, SizeIs(3));
  EXPECT_EQ(core.out.sent[2].task.worker, WorkerId{2});
  EXPECT_EQ(core.out.sent[2].task.bundle, kParity);
  EXPECT_EQ(core.out.sent[2].task.priority, 1);
  EXPECT_THAT(core.out.sent[2].inputs, ElementsAre(parity));

  const BufferId sibling = core.Reply(core.out.sent[1]);
  const BufferId answer = core.Reply(core.out.sent[2]);
  EXPECT_THAT(core.out.decodes, SizeIs(0)) << "held back until the trigger";
  core.Advance(Milliseconds(50));
  ASSERT_THAT(core.out.decodes, SizeIs(1));
  EXPECT_THAT(core.out.decodes[0].outputs,
              ElementsAre(BufferId{}, sibling, answer));
  const BufferId decoded = core.Decoded(core.out.decodes[0]);
  ASSERT_THAT(core.out.answers, SizeIs(2));
  EXPECT_EQ(core.out.answers[1].query, lost);
  EXPECT_EQ(core.out.answers[1].source, AnswerSource::kReconstructed);
  EXPECT_EQ(core.out.answers[1].output, decoded);

  // The late original tells how good that was.
  core.Advance(Milliseconds(1));
  const BufferId original = core.Reply(core.out.sent[0]);
  ASSERT_THAT(core.out.compared, SizeIs(1));
  EXPECT_EQ(core.out.compared[0].decoded, decoded);
  EXPECT_EQ(core.out.compared[0].original, original);
  EXPECT_EQ(core.model().late_originals, 1U);
  core.ExpectEmpty();
}

TEST(CoreEngineTest, PackDecodesFromParityAlone) {
  CoreHarness core(CodedOptions(3, {.scheme = "pack", .k = 2}));
  core.Up(0, {});
  core.Up(1, {});
  core.Up(2, {.deployed = false, .parity = true});
  core.heard = {0, 1, 2};
  core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes[0]);
  core.Reply(core.out.sent[2]);
  core.Advance(Milliseconds(50));
  ASSERT_THAT(core.out.decodes, SizeIs(2));
  core.Decoded(core.out.decodes[0]);
  core.Decoded(core.out.decodes[1]);
  EXPECT_THAT(core.out.answers, SizeIs(2));
  EXPECT_EQ(
      core.model().answers[static_cast<size_t>(AnswerSource::kReconstructed)],
      2U);
}

}  // namespace
}  // namespace parm::core
