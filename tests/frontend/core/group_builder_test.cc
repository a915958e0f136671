// Who is coded with whom, and when a group closes.

#include "frontend/core/group_builder.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"

namespace parm::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Workers with room for everything.
void UpAll(CoreHarness& core) {
  for (uint32_t i = 0; i < 3; ++i) core.Up(i, {.max_in_flight = 100});
  core.Up(3, {.deployed = false, .parity = true, .max_in_flight = 100});
  core.heard = {0, 1, 2, 3};
}

TEST(GroupBuilderTest, ThirdMemberClosesAGroupOfThree) {
  CoreHarness core(CodedOptions(4, {.scheme = "sum", .k = 3}));
  UpAll(core);
  const QueryId a = core.Arrive();
  const QueryId b = core.Arrive();
  EXPECT_THAT(core.out.encodes, IsEmpty());
  EXPECT_THAT(core.out.sent, SizeIs(2)) << "members never wait";
  const QueryId c = core.Arrive();
  ASSERT_THAT(core.out.encodes, SizeIs(1));
  EXPECT_THAT(
      core.out.encodes[0].members,
      ElementsAre(ElementsAre(core.InputOf(a)), ElementsAre(core.InputOf(b)),
                  ElementsAre(core.InputOf(c))));
  EXPECT_EQ(core.model().groups_closed_full, 1U);
}

TEST(GroupBuilderTest, GroupOfExactQueriesSendsNoParity) {
  CoreHarness core(CodedOptions(4, {.scheme = "sum", .k = 2}));
  UpAll(core);
  core.Arrive({.mode = AnswerMode::kExact});
  core.Arrive({.mode = AnswerMode::kExact});
  EXPECT_THAT(core.out.encodes, IsEmpty());
  EXPECT_EQ(core.model().groups_closed_full, 1U);
  core.Reply(core.out.sent.at(0));
  core.Reply(core.out.sent.at(1));
  core.ExpectEmpty();
}

TEST(GroupBuilderTest, TimerClosesAndPadsAShortGroup) {
  CoreHarness core(CodedOptions(4, {.scheme = "sum", .k = 3}));
  UpAll(core);
  core.Arrive();
  core.Advance(Milliseconds(19));
  EXPECT_THAT(core.out.encodes, IsEmpty());
  core.Advance(Milliseconds(1));
  ASSERT_THAT(core.out.encodes, SizeIs(1));
  EXPECT_THAT(core.out.encodes[0].members, SizeIs(1));
  EXPECT_EQ(core.model().groups_closed_short, 1U);
  // It is decodable from the parity alone.
  core.Encoded(core.out.encodes[0]);
  core.Reply(core.out.sent.at(1));
  core.Advance(Milliseconds(30));
  ASSERT_THAT(core.out.decodes, SizeIs(1));
  core.Decoded(core.out.decodes[0]);
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kReconstructed);
}

TEST(GroupBuilderTest, ShortGroupWithoutPaddingIsUnprotected) {
  CoreOptions options = CodedOptions(4, {.scheme = "sum", .k = 3});
  options.models[0].pad_short_groups = false;
  CoreHarness core(options);
  UpAll(core);
  core.Arrive();
  core.Arrive();
  core.Advance(Milliseconds(20));
  EXPECT_THAT(core.out.encodes, IsEmpty());
  EXPECT_EQ(core.model().groups_unprotected, 1U);
  core.Reply(core.out.sent.at(0));
  core.Reply(core.out.sent.at(1));
  EXPECT_THAT(core.out.answers, SizeIs(2));
  core.ExpectEmpty();
}

TEST(GroupBuilderTest, AnsweredShortGroupNeedsNoParity) {
  CoreHarness core(CodedOptions(4, {.scheme = "sum", .k = 3}));
  UpAll(core);
  core.Arrive();
  core.Reply(core.out.sent.at(0));
  core.Advance(Milliseconds(20));
  EXPECT_THAT(core.out.encodes, IsEmpty());
  core.ExpectEmpty();
}

TEST(GroupBuilderTest, AnsweredMemberStillProtectsALaterOne) {
  CoreHarness core(CodedOptions(4, {.scheme = "sum", .k = 2}));
  UpAll(core);
  const QueryId first = core.Arrive();
  core.Reply(core.out.sent.at(0));
  EXPECT_FALSE(core.Released(core.InputOf(first))) << "to be encoded yet";
  const QueryId second = core.Arrive();
  ASSERT_THAT(core.out.encodes, SizeIs(1));
  core.Encoded(core.out.encodes[0]);
  core.Reply(core.out.sent.at(2));
  core.Advance(Milliseconds(50));
  ASSERT_THAT(core.out.decodes, SizeIs(1));
  core.Decoded(core.out.decodes[0]);
  EXPECT_EQ(core.out.answers.at(1).query, second);
}

TEST(GroupBuilderTest, DifferentLayoutsAreNeverCodedTogether) {
  CoreHarness core(CodedOptions(4, {.scheme = "sum", .k = 2}));
  UpAll(core);
  core.Arrive({.signature = 1});
  core.Arrive({.signature = 2});
  core.Arrive({.signature = 1, .samples = 2});
  EXPECT_THAT(core.out.encodes, IsEmpty());
  EXPECT_EQ(core.sizes().open_groups, 3U);
}

TEST(GroupBuilderTest, UnknownLayoutIsNeverCoded) {
  CoreHarness core(CodedOptions(4, {.scheme = "sum", .k = 2}));
  UpAll(core);
  core.Arrive({.signature = 0});
  core.Arrive({.signature = 0});
  EXPECT_EQ(core.sizes().open_groups, 0U);
  EXPECT_THAT(core.out.encodes, IsEmpty());
}

TEST(GroupBuilderTest, ExactOnlyQueryProtectsItsSibling) {
  CoreHarness core(CodedOptions(4, {.scheme = "sum", .k = 2}));
  UpAll(core);
  core.Arrive({.mode = AnswerMode::kExact});
  core.Arrive();
  EXPECT_THAT(core.out.encodes, SizeIs(1));
}

TEST(GroupBuilderTest, RetryDoesNotJoinASecondGroup) {
  CoreHarness core(CodedOptions(4, {.scheme = "sum", .k = 2}));
  UpAll(core);
  core.Arrive();
  core.Handle(WorkerDown{.worker = core.out.sent.at(0).task.worker});
  ASSERT_THAT(core.out.sent, SizeIs(2));
  EXPECT_THAT(core.out.encodes, IsEmpty());
  EXPECT_EQ(core.sizes().open_groups, 1U);
}

TEST(GroupBuilderTest, BatchesAreCodedRowByRow) {
  CoreOptions options = CodedOptions(4, {.scheme = "sum", .k = 2});
  options.models[0].max_batch_size = 2;
  CoreHarness core(options);
  UpAll(core);
  for (int i = 0; i < 4; ++i) core.Arrive();
  ASSERT_THAT(core.out.encodes, SizeIs(1));
  EXPECT_THAT(core.out.encodes[0].members, ElementsAre(SizeIs(2), SizeIs(2)));
}

TEST(GroupBuilderTest, FailedEncodeLeavesMembersAlone) {
  CoreHarness core(CodedOptions(4, {.scheme = "sum", .k = 2}));
  UpAll(core);
  core.Arrive();
  core.Arrive();
  core.Handle(ParityEncoded{.group = core.out.encodes.at(0).action.group,
                            .parity_index = 0,
                            .ok = false});
  EXPECT_EQ(core.model().encode_failures, 1U);
  core.Reply(core.out.sent.at(0));
  core.Reply(core.out.sent.at(1));
  core.ExpectEmpty();
}

TEST(GroupBuilderTest, ParityOfAnAnsweredGroupIsNotSent) {
  CoreHarness core(CodedOptions(4, {.scheme = "sum", .k = 2}));
  UpAll(core);
  core.Arrive();
  core.Arrive();
  core.Reply(core.out.sent.at(0));
  core.Reply(core.out.sent.at(1));
  const BufferId parity = core.Encoded(core.out.encodes.at(0));
  EXPECT_THAT(core.out.sent, SizeIs(2));
  EXPECT_TRUE(core.Released(parity));
  core.ExpectEmpty();
}

}  // namespace
}  // namespace parm::core
