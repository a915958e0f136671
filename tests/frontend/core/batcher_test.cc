#include "frontend/core/batcher.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"

namespace parm::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// One worker with room for everything; batches of up to four samples leave
// after 5 ms.
CoreHarness BatchingCore() {
  CoreOptions options = PlainOptions(1);
  options.models[0].max_batch_size = 4;
  options.models[0].batch_timeout = Milliseconds(5);
  CoreHarness core(options);
  core.Up(0, {.max_in_flight = 100});
  return core;
}

TEST(BatcherTest, FullBatchLeavesAtOnceInOrder) {
  CoreHarness core = BatchingCore();
  std::vector<BufferId> inputs;
  for (int i = 0; i < 4; ++i) {
    EXPECT_THAT(core.out.sent, IsEmpty());
    inputs.push_back(core.InputOf(core.Arrive()));
  }
  ASSERT_THAT(core.out.sent, SizeIs(1));
  EXPECT_EQ(core.out.sent[0].inputs, inputs);
}

TEST(BatcherTest, EveryQueryGetsItsOwnRows) {
  CoreHarness core = BatchingCore();
  core.Arrive({.samples = 1});
  core.Arrive({.samples = 2});
  core.Arrive({.samples = 1});
  core.Reply(core.out.sent.at(0));
  ASSERT_THAT(core.out.answers, SizeIs(3));
  EXPECT_EQ(core.out.answers[0].first_sample, 0U);
  EXPECT_EQ(core.out.answers[1].first_sample, 1U);
  EXPECT_EQ(core.out.answers[1].num_samples, 2U);
  EXPECT_EQ(core.out.answers[2].first_sample, 3U);
  core.ExpectEmpty();
}

TEST(BatcherTest, LoneQueryLeavesAtTheTimeout) {
  CoreHarness core = BatchingCore();
  core.heard = {0};
  core.Arrive();
  core.Advance(Milliseconds(4));
  EXPECT_THAT(core.out.sent, IsEmpty());
  core.Advance(Milliseconds(1));
  EXPECT_THAT(core.out.sent, SizeIs(1));
}

TEST(BatcherTest, TimeoutRunsFromTheFirstQuery) {
  CoreHarness core = BatchingCore();
  core.heard = {0};
  core.Arrive();
  core.Advance(Milliseconds(4));
  core.Arrive();
  core.Advance(Milliseconds(1));
  ASSERT_THAT(core.out.sent, SizeIs(1));
  EXPECT_THAT(core.out.sent[0].inputs, SizeIs(2));
}

TEST(BatcherTest, NearDeadlineSendsTheBatchEarlier) {
  CoreHarness core = BatchingCore();
  core.heard = {0};
  core.Arrive();
  // Its deadline less the slack of 5 ms is 2 ms away.
  core.Arrive({.deadline = Milliseconds(7)});
  EXPECT_THAT(core.out.sent, IsEmpty());
  core.Advance(Milliseconds(2));
  EXPECT_THAT(core.out.sent, SizeIs(1));
}

TEST(BatcherTest, LargeQueryIsABatchByItself) {
  CoreHarness core = BatchingCore();
  core.Arrive({.samples = 9});
  ASSERT_THAT(core.out.sent, SizeIs(1));
  EXPECT_THAT(core.out.sent[0].inputs, SizeIs(1));
}

TEST(BatcherTest, QueryThatDoesNotFitSendsTheOthersOff) {
  CoreHarness core = BatchingCore();
  const QueryId first = core.Arrive({.samples = 3});
  core.Arrive({.samples = 2});
  ASSERT_THAT(core.out.sent, SizeIs(1));
  EXPECT_THAT(core.out.sent[0].inputs, ElementsAre(core.InputOf(first)));
}

TEST(BatcherTest, DifferentSignaturesNeverShareABatch) {
  CoreHarness core = BatchingCore();
  core.Arrive({.signature = 1, .samples = 3});
  core.Arrive({.signature = 2, .samples = 1});
  EXPECT_THAT(core.out.sent, IsEmpty());
}

TEST(BatcherTest, UnknownLayoutSharesWithNobody) {
  CoreHarness core = BatchingCore();
  core.Arrive({.signature = 0});
  core.Arrive({.signature = 0});
  EXPECT_THAT(core.out.sent, SizeIs(2));
}

TEST(BatcherTest, DrainFlushesShortBatches) {
  CoreHarness core = BatchingCore();
  core.Arrive();
  core.Handle(DrainRequested{});
  ASSERT_THAT(core.out.sent, SizeIs(1));
  core.Reply(core.out.sent[0]);
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kExact);
  core.ExpectEmpty();
}

TEST(BatcherTest, AbandonedQueryLeavesTheFormingBatch) {
  CoreHarness core = BatchingCore();
  core.heard = {0};
  const QueryId gone = core.Arrive();
  const QueryId stays = core.Arrive({.samples = 2});
  core.Handle(QueryAbandoned{.query = gone});
  EXPECT_TRUE(core.Released(core.InputOf(gone)));
  core.Advance(Milliseconds(5));
  ASSERT_THAT(core.out.sent, SizeIs(1));
  EXPECT_THAT(core.out.sent[0].inputs, ElementsAre(core.InputOf(stays)));
  core.Reply(core.out.sent[0]);
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].first_sample, 0U);
  EXPECT_EQ(core.model().abandoned, 1U);
  core.ExpectEmpty();
}

TEST(BatcherTest, BatchWhoseQueriesAllLeftIsDropped) {
  CoreHarness core = BatchingCore();
  const QueryId gone = core.Arrive();
  core.Handle(QueryAbandoned{.query = gone});
  core.ExpectEmpty();
  EXPECT_THAT(core.out.answers, IsEmpty());
}

}  // namespace
}  // namespace parm::core
