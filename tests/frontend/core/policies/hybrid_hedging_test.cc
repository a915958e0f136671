// When policy hybrid hedges: by how long what may answer a query runs.

#include <algorithm>
#include <cstddef>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"
#include "tests/frontend/core/policies/hybrid_core.h"
#include "tests/frontend/core/policies/served_world.h"

namespace parm::core {
namespace {

using ::testing::SizeIs;

// A pool that knows its times: copies wait up to 40 ms until they begin, and
// run for 10 ms; of `slow_every`, one runs for 100 ms.
CoreHarness TrainedCore(CoreOptions options, int slow_every = 0) {
  options.models[0].hedge.max = Milliseconds(300);
  CoreHarness core = HybridCore(options);
  for (int i = 0; i < 50; ++i) {
    const size_t first = core.out.sent.size();
    core.Arrive({.signature = 0});  // in no group
    const Sent sent = core.out.sent[first];
    core.Advance(Milliseconds(10 * (i % 5)));
    core.Start(sent);
    const bool slow = slow_every > 0 && i % slow_every == 0;
    core.Advance(Milliseconds(slow ? 100 : 10));
    for (size_t copy = first; copy < core.out.sent.size(); ++copy) {
      core.Reply(Sent{core.out.sent[copy]});
    }
    core.Advance(Milliseconds(50));
  }
  // Siblings are to be expected.
  const size_t first = core.out.sent.size();
  for (int i = 0; i < 30; ++i) core.Arrive({.signature = 0});
  for (size_t i = first; i < first + 30; ++i) core.Start(core.out.sent[i]);
  core.Advance(Milliseconds(10));
  for (size_t i = first; i < first + 30; ++i) core.Reply(core.out.sent[i]);
  core.ExpectEmpty();
  core.out.sent.clear();
  core.out.answers.clear();
  return core;
}

// Copies of the query, the first one included.
size_t NumCopies(const CoreHarness& core, QueryId query) {
  return static_cast<size_t>(std::count_if(
      core.out.sent.begin(), core.out.sent.end(), [&](const Sent& sent) {
        return sent.inputs.at(0) == core.InputOf(query);
      }));
}

TEST(HybridHedgingTest, CopyThatRunsLongIsHedgedBeforeLongWaits) {
  for (const int waited_ms : {0, 20, 30}) {
    SCOPED_TRACE(waited_ms);
    CoreHarness core = TrainedCore(HybridOptionsFor(8, SumOfTwo()));
    core.Arrive({.signature = 0});
    core.Advance(Milliseconds(waited_ms));
    core.Start(core.out.sent.at(0));
    core.Advance(Milliseconds(9));
    EXPECT_THAT(core.out.sent, SizeIs(1));
    core.Advance(Milliseconds(3));
    EXPECT_THAT(core.out.sent, SizeIs(2));
  }
}

TEST(HybridHedgingTest, CopyInLineIsHedgedAfterTheQuantile) {
  CoreHarness core = TrainedCore(HybridOptionsFor(8, SumOfTwo()));
  core.Arrive({.signature = 0});
  core.Advance(Milliseconds(45));
  EXPECT_THAT(core.out.sent, SizeIs(1));
  core.Advance(Milliseconds(10));
  EXPECT_THAT(core.out.sent, SizeIs(2)) << "p95 is 50 ms and a bucket";
}

TEST(HybridHedgingTest, WorkerThatTellsNoBeginIsKnownByItself) {
  CoreHarness core = TrainedCore(HybridOptionsFor(8, SumOfTwo()));
  // Another process, of another kind.
  constexpr WorkerId kTellsNone{0};
  core.Up(0, {.parity = true, .max_in_flight = 100, .nonce = 2});
  int tasks_there = 0;
  for (int i = 0; i < 17; ++i) {
    core.Arrive({.signature = 0});
    const Sent sent = core.out.sent.back();
    if (sent.task.worker != kTellsNone) {
      core.Start(sent);
    } else if (++tasks_there == 2) {
      break;  // its first answer has told
    }
    core.Advance(Milliseconds(10));
    core.Reply(sent);
  }
  ASSERT_EQ(tasks_there, 2);
  const size_t sent = core.out.sent.size();
  core.Advance(Milliseconds(9));
  EXPECT_THAT(core.out.sent, SizeIs(sent));
  core.Advance(Milliseconds(3));
  EXPECT_THAT(core.out.sent, SizeIs(sent + 1)) << "it began at an idle lane";
}

TEST(HybridHedgingTest, CopyThatBeganLateIsGivenItsTime) {
  CoreHarness core = TrainedCore(HybridOptionsFor(8, SumOfTwo()));
  core.Arrive({.signature = 0});
  core.Advance(Milliseconds(45));
  core.Start(core.out.sent.at(0));
  core.Advance(Milliseconds(9));
  EXPECT_THAT(core.out.sent, SizeIs(1)) << "though the query is late";
  core.Advance(Milliseconds(3));
  EXPECT_THAT(core.out.sent, SizeIs(2));
}

TEST(HybridHedgingTest, NoHedgeWhereADecodeIsHeldYet) {
  CoreHarness core = TrainedCore(HybridOptionsFor(8, SumOfTwo()));
  core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  for (const size_t i : {0U, 1U, 2U}) core.Start(core.out.sent.at(i));
  core.Advance(Milliseconds(8));
  core.Reply(core.out.sent[1]);
  core.Reply(core.out.sent[2]);
  core.Advance(Milliseconds(17));
  EXPECT_THAT(core.out.sent, SizeIs(3)) << "though the copy is late";
  ASSERT_THAT(core.out.decodes, SizeIs(1)) << "at the trigger";
  core.Decoded(core.out.decodes[0]);
  EXPECT_EQ(core.out.answers.back().source, AnswerSource::kReconstructed);
}

TEST(HybridHedgingTest, HedgeWaitsForParityThatIsOnTime) {
  CoreHarness core = TrainedCore(HybridOptionsFor(8, SumOfTwo()));
  for (int i = 0; i < 40; ++i) {
    core.out.encodes.clear();
    const size_t first = core.out.sent.size();
    core.Arrive();
    core.Arrive();
    core.Encoded(core.out.encodes.at(0));
    const std::vector<Sent> sent(
        core.out.sent.begin() + static_cast<std::ptrdiff_t>(first),
        core.out.sent.end());
    ASSERT_THAT(sent, SizeIs(3));
    for (const Sent& task : sent) core.Start(task);
    core.Advance(Milliseconds(8));
    core.Reply(sent[2]);
    core.Reply(sent[0]);
    core.Reply(sent[1]);
  }
  core.out.sent.clear();
  core.out.encodes.clear();
  core.Arrive();
  core.Arrive();
  core.Start(core.out.sent.at(0));
  core.Start(core.out.sent.at(1));
  core.Reply(core.out.sent[1]);
  core.Advance(Milliseconds(5));
  core.Encoded(core.out.encodes.at(0));
  core.Start(core.out.sent.at(2));
  core.Advance(Milliseconds(7));
  EXPECT_THAT(core.out.sent, SizeIs(3)) << "the copy is late, parity is not";
  core.Advance(Milliseconds(4));
  EXPECT_THAT(core.out.sent, SizeIs(4));
}

TEST(HybridHedgingTest, RareStragglersAreHedgedOnce) {
  CoreHarness core = TrainedCore(HybridOptionsFor(8, SumOfTwo()));
  const QueryId query = core.Arrive({.signature = 0});
  core.Advance(Milliseconds(400));
  EXPECT_EQ(NumCopies(core, query), 2U);
}

TEST(HybridHedgingTest, FrequentStragglersAreHedgedTwiceAtOnce) {
  CoreHarness core = TrainedCore(HybridOptionsFor(8, SumOfTwo()), 10);
  const QueryId query = core.Arrive({.signature = 0});
  core.Start(core.out.sent.at(0));
  core.Advance(Milliseconds(9));
  EXPECT_EQ(NumCopies(core, query), 1U);
  core.Advance(Milliseconds(3));
  ASSERT_EQ(NumCopies(core, query), 3U);
  std::set<WorkerId> workers;
  for (const Sent& sent : core.out.sent) workers.insert(sent.task.worker);
  EXPECT_THAT(workers, SizeIs(3));
  core.Advance(Milliseconds(400));
  EXPECT_EQ(NumCopies(core, query), 3U) << "and no more";
}

TEST(HybridHedgingTest, SecondHedgeWaitsForTheFirstWithoutIdleLanes) {
  CoreHarness core = TrainedCore(HybridOptionsFor(3, SumOfTwo()), 10);
  const QueryId query = core.Arrive({.signature = 0});
  core.Start(core.out.sent.at(0));
  core.Advance(Milliseconds(8));
  core.Arrive({.signature = 0});
  core.Advance(Milliseconds(4));
  ASSERT_EQ(NumCopies(core, query), 2U);
  core.Start(core.out.sent.at(2));
  core.Advance(Milliseconds(8));
  EXPECT_EQ(NumCopies(core, query), 2U) << "the first hedge is on time";
  core.Advance(Milliseconds(4));
  EXPECT_EQ(NumCopies(core, query), 3U);
}

TEST(HybridHedgingTest, NoSecondHedgeWhereAllLateIsAllowed) {
  CoreOptions options = HybridOptionsFor(8, SumOfTwo());
  options.models[0].hybrid.max_all_late = 1;
  CoreHarness core = TrainedCore(options, 10);
  const QueryId query = core.Arrive({.signature = 0});
  core.Advance(Milliseconds(400));
  EXPECT_EQ(NumCopies(core, query), 2U);
}

TEST(HybridHedgingTest, WhileNobodyIsSlowTheGateShutsEarlier) {
  CoreOptions options = HybridOptionsFor(15, SumOfFour());
  options.models[0].hybrid.gate = {};
  const ServedWorld::Service usual = [](const Sent&) {
    return Milliseconds(10);
  };
  ServedWorld world(options, 16, usual);  // ten of the lanes are busy
  const auto parities = [&world](int64_t span_ms) {
    const uint64_t before = world.NumSent(AttemptType::kParity);
    world.Run(Milliseconds(span_ms), 1);
    return world.NumSent(AttemptType::kParity) - before;
  };
  parities(6000);  // the gate learns the load
  EXPECT_LT(parities(1000), 25U);
  EXPECT_EQ(world.core.model().hedge.straggler_share, 0);
  world.set_service([](const Sent& sent) {
    return Milliseconds(Draw(sent) < 0.003 ? 100 : 10);
  });
  parities(1000);
  EXPECT_GT(parities(1000), 150U) << "now they are worth their cost";
  world.set_service(usual);
  EXPECT_GT(parities(4000), 600U) << "for a while";
  parities(11'000);
  EXPECT_LT(parities(1000), 25U);
}

TEST(HybridHedgingTest, FurtherAttemptThatWaitedIsNotHedged) {
  CoreHarness core = TrainedCore(HybridOptionsFor(2, SumOfTwo()));
  core.Arrive({.signature = 0});
  core.Arrive({.signature = 0});
  core.Arrive({.signature = 0, .further_attempt = true});
  ASSERT_THAT(core.out.sent, SizeIs(3));
  core.Start(core.out.sent[0]);
  core.Start(core.out.sent[1]);
  core.Advance(Milliseconds(5));
  core.Reply(core.out.sent[0]);
  core.Reply(core.out.sent[1]);
  core.Start(core.out.sent[2]);
  core.Advance(Milliseconds(400));
  EXPECT_THAT(core.out.sent, SizeIs(3)) << "no extra work for those";
}

TEST(HybridHedgingTest, RepeatedStartPutsOffNoHedge) {
  CoreHarness core = TrainedCore(HybridOptionsFor(8, SumOfTwo()));
  core.Arrive({.signature = 0});
  for (int i = 0; i < 4; ++i) {
    core.Start(Sent{core.out.sent.at(0)});
    core.Advance(Milliseconds(3));
  }
  EXPECT_THAT(core.out.sent, SizeIs(2));
}

TEST(HybridHedgingTest, StragglersThatWereWithdrawnAreCounted) {
  CoreOptions options = HybridOptionsFor(4, SumOfTwo());
  options.models[0].hybrid.max_all_late = 1;  // one hedge each
  CoreHarness core = HybridCore(options);     // nobody says when it begins
  for (int i = 0; i < 80; ++i) {
    const size_t first = core.out.sent.size();
    core.Arrive({.signature = 0});
    const Sent sent = core.out.sent[first];
    if (i % 8 != 7) {
      core.Advance(Milliseconds(10));
      core.Reply(sent);
      continue;
    }
    for (int ms = 0; ms < 40 && core.out.sent.size() < first + 2; ++ms) {
      core.Advance(Milliseconds(1));
    }
    ASSERT_THAT(core.out.sent, SizeIs(first + 2)) << "it is hedged";
    core.Advance(Milliseconds(10));
    core.Reply(Sent{core.out.sent[first + 1]});
    core.Advance(Milliseconds(50));
    core.Fail(sent, TaskStatus::kCancelled);
  }
  EXPECT_GT(core.model().hedge.straggler_share, 0.05);
}

TEST(HybridHedgingTest, WithdrawnParityIsPaidForByWhatItsWorkerTells) {
  for (const bool parity_tells : {false, true}) {
    SCOPED_TRACE(parity_tells);
    CoreHarness core(HybridOptionsFor(6, SumOfTwo()));
    for (uint32_t i = 0; i < 6; ++i) {
      core.Up(i, {.deployed = i < 4, .parity = i >= 4, .domain = i});
      core.heard.push_back(i);
    }
    // Two members, whose workers tell, then their parity query.
    const auto send_group = [&](bool starts_parity) {
      core.out.sent.clear();
      core.out.encodes.clear();
      core.Arrive();
      core.Arrive();
      core.Start(core.out.sent.at(0));
      core.Start(core.out.sent.at(1));
      for (const Encode& encode : core.out.encodes) core.Encoded(encode);
      if (starts_parity && core.out.sent.size() == 3) {
        core.Start(core.out.sent[2]);
      }
      core.Advance(Milliseconds(10));
    };
    for (int i = 0; i < 40; ++i) {
      send_group(parity_tells);
      for (size_t sent = core.out.sent.size(); sent-- > 0;) {
        core.Reply(Sent{core.out.sent[sent]});
      }
    }
    send_group(/*starts_parity=*/false);
    ASSERT_THAT(core.out.sent, SizeIs(3));
    const Duration before = core.model().hedge.extra_service;
    core.Reply(core.out.sent[0]);
    core.Reply(core.out.sent[1]);
    ASSERT_THAT(core.out.cancelled, SizeIs(1));
    core.Fail(core.out.sent[2], TaskStatus::kCancelled);
    EXPECT_EQ(core.model().hedge.extra_service - before,
              Milliseconds(parity_tells ? 0 : 10));
    core.ExpectEmpty();
  }
}

TEST(HybridHedgingTest, ObservedHedgeCountsOncePerQuery) {
  CoreOptions options = HybridOptionsFor(8, SumOfTwo());
  options.models[0].mode = PolicyMode::kObserve;
  for (const bool times_are_known : {false, true}) {
    SCOPED_TRACE(times_are_known);
    CoreHarness core =
        times_are_known ? TrainedCore(options, 10) : HybridCore(options);
    const HedgeCounters before = core.model().hedge;
    core.Arrive({.signature = 0});
    core.Advance(Milliseconds(450));
    EXPECT_THAT(core.out.sent, SizeIs(1));
    EXPECT_EQ(core.model().hedge.observed, before.observed + 1);
    EXPECT_EQ(core.model().hedge.delay.count(), before.delay.count() + 1);
  }
}

TEST(HybridHedgingTest, ExactOnlyQueryIsHedgedWhateverParityDoes) {
  CoreHarness core = TrainedCore(HybridOptionsFor(8, SumOfTwo()));
  core.Arrive({.mode = AnswerMode::kExact});
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  for (const size_t i : {0U, 1U, 2U}) core.Start(core.out.sent.at(i));
  core.Advance(Milliseconds(8));
  core.Reply(core.out.sent[2]);
  core.Advance(Milliseconds(1));
  EXPECT_THAT(core.out.sent, SizeIs(3));
  core.Advance(Milliseconds(3));
  ASSERT_THAT(core.out.sent, SizeIs(4)) << "no decode can answer it";
  EXPECT_EQ(core.out.sent[3].inputs, core.out.sent[0].inputs);
}

}  // namespace
}  // namespace parm::core
