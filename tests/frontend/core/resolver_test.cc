// Which answer a query gets: exact, reconstructed, default or error, and when.

#include "frontend/core/resolver.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"

namespace parm::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr auto kReconstructed =
    static_cast<size_t>(AnswerSource::kReconstructed);

CoreOptions SumOfTwo() { return CodedOptions(4, {.scheme = "sum", .k = 2}); }

// A group of two whose first member (out.sent[0]) is late: the second has
// answered, and the parity query (out.sent[2]) too.
struct LateMember {
  explicit LateMember(const CoreOptions& options = SumOfTwo(),
                      AnswerMode mode = AnswerMode::kBalanced)
      : core(options) {
    core.Up(0, {.max_in_flight = 9});
    core.Up(1, {.max_in_flight = 9});
    core.Up(2, {.deployed = false, .parity = true, .max_in_flight = 9});
    core.heard = {0, 1, 2};
    late = core.Arrive({.mode = mode});
    core.Arrive();
    parity = core.Encoded(core.out.encodes.at(0));
    sibling_output = core.Reply(core.out.sent.at(1));
    parity_output = core.Reply(core.out.sent.at(2));
    core.out.answers.clear();
  }
  // The decode that the trigger asks for.
  const Decode& AtTrigger() {
    core.Advance(Milliseconds(50));
    EXPECT_THAT(core.out.decodes, SizeIs(1));
    return core.out.decodes.at(0);
  }
  CoreHarness core;
  QueryId late{};
  BufferId parity{};
  BufferId sibling_output{};
  BufferId parity_output{};
};

TEST(ResolverTest, OriginalBeforeTheTriggerWins) {
  LateMember group;
  group.core.Advance(Milliseconds(49));
  group.core.Reply(group.core.out.sent[0]);
  EXPECT_EQ(group.core.out.answers.at(0).source, AnswerSource::kExact);
  EXPECT_EQ(group.core.model().late_originals, 0U);
  EXPECT_THAT(group.core.out.decodes, IsEmpty());
  group.core.ExpectEmpty();
}

TEST(ResolverTest, OriginalDuringTheDecodeWins) {
  LateMember group;
  const Decode decode = group.AtTrigger();
  group.core.Reply(group.core.out.sent[0]);
  EXPECT_EQ(group.core.out.answers.at(0).source, AnswerSource::kExact);
  EXPECT_FALSE(group.core.Released(group.sibling_output)) << "in use";
  group.core.Decoded(decode);
  EXPECT_THAT(group.core.out.answers, SizeIs(1));
  EXPECT_EQ(group.core.model().decodes_unused, 1U);
  // It is compared all the same.
  EXPECT_THAT(group.core.out.compared, SizeIs(1));
  group.core.ExpectEmpty();
}

TEST(ResolverTest, FastQueryTakesTheDecodeAtOnce) {
  LateMember group(SumOfTwo(), AnswerMode::kFast);
  ASSERT_THAT(group.core.out.decodes, SizeIs(1)) << "without the trigger";
  group.core.Decoded(group.core.out.decodes[0]);
  EXPECT_EQ(group.core.out.answers.at(0).source, AnswerSource::kReconstructed);
}

TEST(ResolverTest, ExactQueryIsNeverReconstructed) {
  LateMember group(SumOfTwo(), AnswerMode::kExact);
  group.core.Advance(Milliseconds(499));
  EXPECT_THAT(group.core.out.decodes, IsEmpty());
  group.core.Advance(Milliseconds(1));
  EXPECT_EQ(group.core.out.answers.at(0).error, AnswerError::kDeadlineExceeded);
}

TEST(ResolverTest, TriggerNeverPassesDeadlineLessSlack) {
  CoreOptions options = SumOfTwo();
  options.models[0].decode.trigger_max.reset();
  LateMember group(options);
  group.core.Advance(Milliseconds(494));
  EXPECT_THAT(group.core.out.decodes, IsEmpty()) << "too few samples yet";
  group.core.Advance(Milliseconds(1));
  ASSERT_THAT(group.core.out.decodes, SizeIs(1));
  group.core.Decoded(group.core.out.decodes[0]);
  EXPECT_EQ(group.core.out.answers.at(0).source, AnswerSource::kReconstructed);
}

TEST(ResolverTest, QuantileZeroReleasesAtOnce) {
  CoreOptions options = SumOfTwo();
  options.models[0].decode.trigger_quantile = 0;
  LateMember group(options);
  EXPECT_THAT(group.core.out.decodes, SizeIs(1));
}

TEST(ResolverTest, DoubtfulDecodeIsHeldUntilTheDeadline) {
  CoreOptions options = SumOfTwo();
  options.models[0].decode.min_confidence = 0.9F;
  LateMember group(options);
  group.core.Decoded(group.AtTrigger(), /*confidence=*/0.6F);
  EXPECT_EQ(group.core.model().decodes_held, 1U);
  group.core.Advance(Milliseconds(449));
  EXPECT_THAT(group.core.out.answers, IsEmpty());
  group.core.Advance(Milliseconds(1));
  ASSERT_THAT(group.core.out.answers, SizeIs(1));
  EXPECT_EQ(group.core.out.answers[0].source, AnswerSource::kReconstructed);
  EXPECT_EQ(group.core.out.answers[0].confidence, 0.6F);
}

TEST(ResolverTest, ConfidentDecodeIsReleasedAtTheTrigger) {
  CoreOptions options = SumOfTwo();
  options.models[0].decode.min_confidence = 0.9F;
  LateMember group(options);
  group.core.Decoded(group.AtTrigger(), /*confidence=*/0.9F);
  EXPECT_THAT(group.core.out.answers, SizeIs(1));
}

TEST(ResolverTest, UnknownConfidenceIsNotEnough) {
  CoreOptions options = SumOfTwo();
  options.models[0].decode.min_confidence = 0.9F;
  LateMember group(options);
  group.core.Decoded(group.AtTrigger());
  EXPECT_THAT(group.core.out.answers, IsEmpty());
}

TEST(ResolverTest, DecodeBelowTheFloorIsNotUsed) {
  CoreOptions options = SumOfTwo();
  options.models[0].decode.floor = 0.5F;
  for (const AnswerMode mode : {AnswerMode::kBalanced, AnswerMode::kFast}) {
    LateMember group(options, mode);
    group.core.Advance(Milliseconds(50));
    group.core.Decoded(group.core.out.decodes.at(0), /*confidence=*/0.4F);
    group.core.Advance(Milliseconds(450));
    ASSERT_THAT(group.core.out.answers, SizeIs(1));
    EXPECT_EQ(group.core.out.answers[0].error, AnswerError::kDeadlineExceeded);
  }
}

TEST(ResolverTest, NothingIsReconstructedWhileLateOriginalsDisagree) {
  CoreOptions options = SumOfTwo();
  options.models[0].decode.min_agreement = 0.8;
  for (const AnswerMode mode : {AnswerMode::kBalanced, AnswerMode::kFast}) {
    LateMember group(options, mode);
    group.core.Handle(
        OutputsCompared{.model = kModel, .compared = 200, .agreed = 150});
    EXPECT_EQ(group.core.model().gate_closed, 1U);
    group.core.Decoded(group.AtTrigger());
    EXPECT_EQ(group.core.model().decodes_held,
              mode == AnswerMode::kBalanced ? 1U : 0U);
    group.core.Advance(Milliseconds(450));
    ASSERT_THAT(group.core.out.answers, SizeIs(1));
    EXPECT_EQ(group.core.out.answers[0].error, AnswerError::kDeadlineExceeded);
    // The original is compared all the same, or it would stay so for ever.
    group.core.Reply(group.core.out.sent[0]);
    EXPECT_THAT(group.core.out.compared, SizeIs(1));
    group.core.ExpectEmpty();
  }
}

TEST(ResolverTest, ReconstructionsComeBackWithAgreement) {
  CoreOptions options = SumOfTwo();
  options.models[0].decode.min_agreement = 0.8;
  LateMember group(options);
  group.core.Handle(
      OutputsCompared{.model = kModel, .compared = 200, .agreed = 150});
  group.core.Handle(
      OutputsCompared{.model = kModel, .compared = 400, .agreed = 400});
  EXPECT_EQ(group.core.model().gate_opened, 1U);
  group.core.Decoded(group.AtTrigger());
  ASSERT_THAT(group.core.out.answers, SizeIs(1));
  EXPECT_EQ(group.core.out.answers[0].source, AnswerSource::kReconstructed);
}

TEST(ResolverTest, ObservedReconstructionsStopToo) {
  CoreOptions options = SumOfTwo();
  options.models[0].mode = PolicyMode::kObserve;
  options.models[0].decode.min_agreement = 0.8;
  LateMember group(options);
  group.core.Handle(
      OutputsCompared{.model = kModel, .compared = 200, .agreed = 150});
  group.core.Decoded(group.AtTrigger());
  EXPECT_EQ(group.core.model().observed_reconstructions, 0U);
}

TEST(ResolverTest, DefaultAnswersAtTheDeadlineButNotExactQueries) {
  CoreOptions options = PlainOptions(1);
  options.models[0].has_default_answer = true;
  CoreHarness core(options);
  core.Up(0, {.max_in_flight = 2});
  core.heard = {0};
  core.Arrive();
  core.Arrive({.mode = AnswerMode::kExact});
  core.Advance(Milliseconds(500));
  ASSERT_THAT(core.out.answers, SizeIs(2));
  for (const AnswerQuery& answer : core.out.answers) {
    EXPECT_EQ(answer.source, Raw(answer.query) == 1 ? AnswerSource::kDefault
                                                    : AnswerSource::kError);
  }
}

TEST(ResolverTest, NoisyDecodeIsRefused) {
  LateMember group;
  const BufferId output =
      group.core.Decoded(group.AtTrigger(), {}, /*noise_gain=*/101);
  EXPECT_TRUE(group.core.Released(output));
  EXPECT_EQ(group.core.model().decode_failures, 1U);
  EXPECT_THAT(group.core.out.answers, IsEmpty());
  group.core.Reply(group.core.out.sent[0]);
  EXPECT_EQ(group.core.out.answers.at(0).source, AnswerSource::kExact);
  group.core.ExpectEmpty();
}

TEST(ResolverTest, FailedDecodeIsNotTriedAgain) {
  LateMember group;
  const Decode decode = group.AtTrigger();
  group.core.Handle(
      MemberDecoded{.group = decode.action.group, .member = 0, .ok = false});
  group.core.Advance(Milliseconds(450));
  EXPECT_THAT(group.core.out.decodes, SizeIs(1));
  EXPECT_EQ(group.core.out.answers.at(0).error, AnswerError::kDeadlineExceeded);
}

TEST(ResolverTest, ObserveCountsAndChangesNothing) {
  CoreOptions options = SumOfTwo();
  options.models[0].mode = PolicyMode::kObserve;
  LateMember group(options);
  group.core.Decoded(group.AtTrigger());
  EXPECT_THAT(group.core.out.answers, IsEmpty());
  EXPECT_EQ(group.core.model().observed_reconstructions, 1U);
  group.core.Advance(Milliseconds(10));
  group.core.Reply(group.core.out.sent[0]);
  EXPECT_EQ(group.core.out.answers.at(0).source, AnswerSource::kExact);
  EXPECT_THAT(group.core.out.compared, SizeIs(1));
  EXPECT_EQ(group.core.model().observed_reconstructions, 1U);
  group.core.ExpectEmpty();
}

TEST(ResolverTest, UndecodableOutputAnswersButDecodesNothing) {
  CoreHarness core(SumOfTwo());
  core.Up(0, {});
  core.Up(1, {});
  core.Up(2, {.deployed = false, .parity = true});
  core.heard = {0, 1, 2};
  core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  core.ReplyUndecodable(core.out.sent.at(1));
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kExact);
  EXPECT_EQ(core.model().undecodable_replies, 1U);
  core.Reply(core.out.sent.at(2));
  core.Advance(Milliseconds(60));
  EXPECT_THAT(core.out.decodes, IsEmpty());
}

TEST(ResolverTest, UnknownRepeatedAndForeignRepliesAreDropped) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {});
  core.Up(1, {});
  core.Arrive();
  Sent foreign = core.out.sent.at(0);
  foreign.task.worker = WorkerId{1 - Raw(foreign.task.worker)};
  EXPECT_TRUE(core.Released(core.Reply(foreign)));
  Sent unknown = core.out.sent[0];
  unknown.task.task = TaskId{12345};
  EXPECT_TRUE(core.Released(core.Reply(unknown)));
  EXPECT_THAT(core.out.answers, IsEmpty());
  core.Reply(core.out.sent[0]);
  EXPECT_TRUE(core.Released(core.Reply(core.out.sent[0]))) << "twice";
  EXPECT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.counters().unknown_replies, 3U);
  core.ExpectEmpty();
}

TEST(ResolverTest, SuccessWithoutOutputIsAnError) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.Arrive();
  core.Fail(core.out.sent.at(0), TaskStatus::kOk);
  EXPECT_EQ(core.out.answers.at(0).error, AnswerError::kBackend);
  core.ExpectEmpty();
}

TEST(ResolverTest, ExpiredTaskLeavesTheDeadlineToAnswer) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.heard = {0};
  core.Arrive();
  core.Fail(core.out.sent.at(0), TaskStatus::kExpired);
  EXPECT_THAT(core.out.answers, IsEmpty());
  core.Advance(Milliseconds(500));
  EXPECT_EQ(core.out.answers.at(0).error, AnswerError::kDeadlineExceeded);
}

TEST(ResolverTest, MemberLostTwiceIsReconstructedWithoutTheTrigger) {
  CoreHarness core(SumOfTwo());
  for (uint32_t i = 0; i < 3; ++i) core.Up(i, {.max_in_flight = 9});
  core.Up(3, {.deployed = false, .parity = true});
  core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  const WorkerId first = core.out.sent[0].task.worker;
  core.Handle(WorkerDown{.worker = first});
  const Sent retry = core.out.sent.at(3);
  ASSERT_EQ(retry.task.attempt, AttemptType::kRetry);
  ASSERT_NE(retry.task.worker, core.out.sent[1].task.worker)
      << "away from the group's workers";
  core.Handle(WorkerDown{.worker = retry.task.worker});
  EXPECT_THAT(core.out.answers, IsEmpty()) << "the parity may still answer";
  core.Reply(core.out.sent[1]);
  core.Reply(core.out.sent[2]);
  ASSERT_THAT(core.out.decodes, SizeIs(1));
  core.Decoded(core.out.decodes[0]);
  EXPECT_EQ(core.out.answers.back().source, AnswerSource::kReconstructed);
  core.ExpectEmpty();
}

TEST(ResolverTest, HopelessMemberFailsBeforeItsDeadline) {
  CoreHarness core(SumOfTwo());
  for (uint32_t i = 0; i < 3; ++i) core.Up(i, {.max_in_flight = 9});
  core.Up(3, {.deployed = false, .parity = true});
  core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  core.Handle(WorkerDown{.worker = core.out.sent[0].task.worker});
  core.Handle(WorkerDown{.worker = core.out.sent.at(3).task.worker});
  EXPECT_THAT(core.out.answers, IsEmpty());
  core.Fail(core.out.sent[2], TaskStatus::kError);
  ASSERT_THAT(core.out.answers, IsEmpty()) << "the parity is sent once more";
  core.Fail(core.out.sent.at(4), TaskStatus::kError);
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kBackend);
}

TEST(ResolverTest, DecodeComesBeforeAPermanentError) {
  LateMember group;
  group.core.Fail(group.core.out.sent[0], TaskStatus::kError);
  EXPECT_THAT(group.core.out.answers, IsEmpty());
  EXPECT_THAT(group.core.out.sent, SizeIs(3)) << "no other worker is asked";
  ASSERT_THAT(group.core.out.decodes, SizeIs(1)) << "nothing else will come";
  group.core.Decoded(group.core.out.decodes[0]);
  EXPECT_EQ(group.core.out.answers.at(0).source, AnswerSource::kReconstructed);
  group.core.ExpectEmpty();
}

TEST(ResolverTest, ExactQueryGetsAPermanentErrorAtOnce) {
  LateMember group(SumOfTwo(), AnswerMode::kExact);
  group.core.Fail(group.core.out.sent[0], TaskStatus::kError);
  ASSERT_THAT(group.core.out.answers, SizeIs(1));
  EXPECT_EQ(group.core.out.answers[0].error, AnswerError::kBackend);
  EXPECT_EQ(group.core.out.answers[0].task, group.core.out.sent[0].task.task);
}

TEST(ResolverTest, RefusedDecodeLeavesThePermanentError) {
  LateMember group;
  group.core.Fail(group.core.out.sent[0], TaskStatus::kError);
  group.core.Decoded(group.core.out.decodes.at(0), {}, /*noise_gain=*/101);
  EXPECT_EQ(group.core.out.answers.at(0).error, AnswerError::kBackend);
}

TEST(ResolverTest, DefaultComesBeforeAPermanentError) {
  CoreOptions options = PlainOptions(1);
  options.models[0].has_default_answer = true;
  CoreHarness core(options);
  core.Up(0, {});
  core.Arrive();
  core.Fail(core.out.sent.at(0), TaskStatus::kError);
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kDefault);
}

TEST(ResolverTest, PermanentErrorOfABatchIsAskedForTwice) {
  CoreOptions options = PlainOptions(2);
  options.models[0].max_batch_size = 2;
  CoreHarness core(options);
  core.Up(0, {});
  core.Up(1, {});
  core.Arrive();
  core.Arrive();
  core.Fail(core.out.sent.at(0), TaskStatus::kError);
  EXPECT_THAT(core.out.answers, IsEmpty());
  ASSERT_THAT(core.out.sent, SizeIs(2));
  EXPECT_NE(core.out.sent[1].task.worker, core.out.sent[0].task.worker);
  core.Fail(core.out.sent[1], TaskStatus::kError);
  ASSERT_THAT(core.out.answers, SizeIs(2));
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kBackend);
  EXPECT_EQ(core.out.answers[1].task, core.out.sent[1].task.task);
  core.ExpectEmpty();
}

TEST(ResolverTest, ParityForExactQueriesAloneIsNotSent) {
  CoreHarness core(SumOfTwo());
  for (uint32_t i = 0; i < 2; ++i) core.Up(i, {});
  core.Up(2, {.deployed = false, .parity = true});
  core.Arrive({.mode = AnswerMode::kExact});
  core.Arrive();
  ASSERT_THAT(core.out.encodes, SizeIs(1));
  core.Reply(core.out.sent.at(1));
  const BufferId parity = core.Encoded(core.out.encodes[0]);
  EXPECT_THAT(core.out.sent, SizeIs(2)) << "only the exact one is open";
  EXPECT_TRUE(core.Released(parity));
  core.Reply(core.out.sent[0]);
  core.ExpectEmpty();
}

TEST(ResolverTest, BatchIsReconstructedAsAWhole) {
  CoreOptions options = SumOfTwo();
  options.models[0].max_batch_size = 2;
  CoreHarness core(options);
  core.Up(0, {});
  core.Up(1, {});
  core.Up(2, {.deployed = false, .parity = true});
  core.heard = {0, 1, 2};
  for (int i = 0; i < 4; ++i) core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  core.Reply(core.out.sent.at(1));
  core.Reply(core.out.sent.at(2));
  core.Advance(Milliseconds(50));
  const BufferId decoded = core.Decoded(core.out.decodes.at(0));
  EXPECT_EQ(core.model().answers[kReconstructed], 2U);
  EXPECT_EQ(core.out.answers.at(2).output, decoded);
  EXPECT_EQ(core.out.answers.at(3).output, decoded);
  EXPECT_EQ(core.out.answers.at(3).first_sample, 1U);
}

TEST(ResolverTest, ComparisonsAddUpInTheLedger) {
  LateMember group;
  group.core.Handle(
      OutputsCompared{.model = kModel, .compared = 4, .agreed = 3});
  EXPECT_EQ(group.core.model().quality_compared, 4U);
  EXPECT_EQ(group.core.model().quality_agreed, 3U);
}

TEST(ResolverTest, ResultsOfForgottenGroupsAreReleased) {
  CoreHarness core(SumOfTwo());
  const BufferId parity = core.NewBuffer();
  core.Handle(ParityEncoded{
      .group = GroupId{77}, .parity_index = 0, .ok = true, .parity = parity});
  const BufferId decoded = core.NewBuffer();
  core.Handle(MemberDecoded{
      .group = GroupId{77}, .member = 0, .ok = true, .output = decoded});
  EXPECT_THAT(core.out.released, ElementsAre(parity, decoded));
}

}  // namespace
}  // namespace parm::core
