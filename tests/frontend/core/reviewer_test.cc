// What is cancelled, what is kept, and when a group is forgotten.

#include "frontend/core/reviewer.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"

namespace parm::core {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

CoreOptions SumOfTwo() { return CodedOptions(4, {.scheme = "sum", .k = 2}); }

void UpAll(CoreHarness& core) {
  for (uint32_t i = 0; i < 2; ++i) core.Up(i, {.max_in_flight = 100});
  for (uint32_t i = 2; i < 4; ++i) {
    core.Up(i, {.deployed = false, .parity = true, .max_in_flight = 100});
  }
  core.heard = {0, 1, 2, 3};
}

TEST(ReviewerTest, ParityOfOneGroupNeverTouchesAnother) {
  CoreHarness core(SumOfTwo());
  UpAll(core);
  // The older group misses its first member; the younger one completes.
  for (int i = 0; i < 4; ++i) core.Arrive();
  const std::vector<Encode> encodes = core.out.encodes;
  core.Encoded(encodes.at(0));
  core.Encoded(encodes.at(1));
  const Sent older_parity = core.out.sent.at(4);
  const Sent younger_parity = core.out.sent.at(5);
  core.Reply(core.out.sent[1]);
  core.Reply(core.out.sent[2]);
  core.Reply(core.out.sent[3]);
  ASSERT_THAT(core.out.cancelled, SizeIs(1));
  EXPECT_EQ(core.out.cancelled[0].task, younger_parity.task.task);
  // The straggler keeps its protection.
  core.Reply(older_parity);
  core.Advance(Milliseconds(50));
  ASSERT_THAT(core.out.decodes, SizeIs(1));
  EXPECT_EQ(core.out.decodes[0].action.group, encodes[0].action.group);
  core.Decoded(core.out.decodes[0]);
  EXPECT_EQ(core.out.answers.back().source, AnswerSource::kReconstructed);
}

TEST(ReviewerTest, UselessParityIsCancelledAndItsReplyDropped) {
  CoreHarness core(SumOfTwo());
  UpAll(core);
  core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  core.Reply(core.out.sent.at(0));
  EXPECT_THAT(core.out.cancelled, IsEmpty());
  core.Reply(core.out.sent.at(1));
  ASSERT_THAT(core.out.cancelled, SizeIs(1));
  EXPECT_EQ(core.sizes().groups, 0U);
  EXPECT_EQ(core.sizes().tasks, 1U) << "it still takes its slot";
  core.Reply(core.out.sent.at(2));
  core.ExpectEmpty();
}

TEST(ReviewerTest, MemberThatASiblingNeedsIsNotCancelled) {
  CoreHarness core(SumOfTwo());
  UpAll(core);
  const QueryId gone = core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  core.Handle(QueryAbandoned{.query = gone});
  EXPECT_THAT(core.out.cancelled, IsEmpty());
  const BufferId output = core.Reply(core.out.sent.at(0));
  EXPECT_FALSE(core.Released(output)) << "kept for the sibling's decode";
  core.Reply(core.out.sent.at(2));
  core.Advance(Milliseconds(50));
  ASSERT_THAT(core.out.decodes, SizeIs(1));
  EXPECT_EQ(core.out.decodes[0].outputs.at(0), output);
  core.Decoded(core.out.decodes[0]);
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_TRUE(core.Released(output));
}

TEST(ReviewerTest, MultiOutputCodeNeedsNoSibling) {
  CoreHarness core(CodedOptions(4, {.scheme = "pack", .k = 2}));
  UpAll(core);
  const QueryId gone = core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  core.Handle(QueryAbandoned{.query = gone});
  EXPECT_THAT(core.out.cancelled, SizeIs(1));
}

TEST(ReviewerTest, ReconstructedMembersOriginalIsCancelled) {
  CoreHarness core(SumOfTwo());
  UpAll(core);
  core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  core.Reply(core.out.sent.at(1));
  core.Reply(core.out.sent.at(2));
  core.Advance(Milliseconds(51));
  core.Decoded(core.out.decodes.at(0));
  ASSERT_THAT(core.out.cancelled, SizeIs(1));
  EXPECT_EQ(core.out.cancelled[0].task, core.out.sent[0].task.task);
  core.Fail(core.out.sent[0], TaskStatus::kCancelled);
  EXPECT_THAT(core.out.compared, IsEmpty());
  EXPECT_EQ(core.model().late_originals, 1U);
  core.ExpectEmpty();
}

TEST(ReviewerTest, SampledLoserIsLeftToFinish) {
  CoreOptions options = SumOfTwo();
  options.loser_sample_rate = 1;
  CoreHarness core(options);
  UpAll(core);
  core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  core.Reply(core.out.sent.at(1));
  core.Reply(core.out.sent.at(2));
  core.Advance(Milliseconds(50));
  core.Decoded(core.out.decodes.at(0));
  EXPECT_THAT(core.out.cancelled, IsEmpty());
  core.Reply(core.out.sent[0]);
  EXPECT_THAT(core.out.compared, SizeIs(1));
  core.ExpectEmpty();
}

TEST(ReviewerTest, ReconstructionIsForgottenAtTheHorizon) {
  CoreOptions options = SumOfTwo();
  options.feedback_horizon = Milliseconds(2000);
  CoreHarness core(options);
  UpAll(core);
  core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  core.Reply(core.out.sent.at(1));
  core.Reply(core.out.sent.at(2));
  core.Advance(Milliseconds(50));
  core.Decoded(core.out.decodes.at(0));
  core.Advance(Milliseconds(2449));
  EXPECT_EQ(core.sizes().groups, 1U);
  core.Advance(Milliseconds(1));
  core.ExpectEmpty();
  EXPECT_TRUE(core.Released(core.Reply(core.out.sent[0])));
}

TEST(ReviewerTest, EncodeThatNeverReturnsIsGivenUp) {
  CoreOptions options = SumOfTwo();
  options.feedback_horizon = Milliseconds(2000);
  CoreHarness core(options);
  UpAll(core);
  core.Arrive();
  core.Arrive();
  core.Reply(core.out.sent.at(0));
  core.Reply(core.out.sent.at(1));
  EXPECT_EQ(core.sizes().groups, 1U) << "its inputs are being read";
  core.Advance(Milliseconds(2500));
  core.ExpectEmpty();
  EXPECT_TRUE(core.Released(core.Encoded(core.out.encodes.at(0))));
}

TEST(ReviewerTest, LedgerKeepsNoMoreGroupsThanItsRoom) {
  CoreOptions options = SumOfTwo();
  options.ledger_room = 2;
  CoreHarness core(options);
  UpAll(core);
  for (size_t i = 0; i < 5; ++i) {
    core.Arrive();
    core.Arrive();
    core.Encoded(core.out.encodes.at(i));
    core.Reply(core.out.sent.at(3 * i + 1));
    core.Reply(core.out.sent.at(3 * i + 2));
    core.Advance(Milliseconds(50));
    core.Decoded(core.out.decodes.at(i));
    EXPECT_LE(core.sizes().groups, 2U);
  }
  EXPECT_EQ(core.sizes().groups, 2U);
  EXPECT_EQ(core.counters().rare_paths.hits(RarePath::kLingererEvicted), 3U);
}

TEST(ReviewerTest, InputsAreReleasedWhenNothingNeedsThem) {
  CoreHarness core(SumOfTwo());
  UpAll(core);
  const QueryId first = core.Arrive();
  const QueryId second = core.Arrive();
  core.Reply(core.out.sent.at(1));
  EXPECT_FALSE(core.Released(core.InputOf(second))) << "being encoded";
  const BufferId parity = core.Encoded(core.out.encodes.at(0));
  EXPECT_TRUE(core.Released(core.InputOf(second)));
  EXPECT_FALSE(core.Released(core.InputOf(first))) << "may be sent again";
  EXPECT_FALSE(core.Released(parity));
  core.Reply(core.out.sent.at(2));
  EXPECT_TRUE(core.Released(parity));
  EXPECT_EQ(core.sizes().buffered_bytes, 100U);
}

}  // namespace
}  // namespace parm::core
