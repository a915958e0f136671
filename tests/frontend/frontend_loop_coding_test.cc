// The frontend's loop: groups, their parities, and what is rebuilt from them.

#include <cmath>
#include <limits>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/frontend_loop_fixture.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;

using FrontendLoopCodingTest = FrontendLoopFixture;

std::vector<float> RepeatedRow(const std::vector<float>& row, int times) {
  std::vector<float> values;
  for (int i = 0; i < times; ++i) {
    values.insert(values.end(), row.begin(), row.end());
  }
  return values;
}

TEST_F(FrontendLoopCodingTest, ReconstructsAMemberThatIsNeverAnswered) {
  Start({"d", "d", "p"}, kCoded);
  Ask("a", RequestOf({1, 2}, {{"parm_mode", "fast"}}));
  Ask("b", RequestOf({3, 4}, {{"parm_mode", "fast"}}));
  // Each worker doubles; the task of one member is never answered.
  for (int i = 0; i < 3; ++i) {
    const auto [worker, task] = NextTask();
    const std::vector<float> input =
        FloatsOf({reinterpret_cast<const std::byte*>(task.frames[0].data()),
                  task.frames[0].size()});
    if (task.envelope.infer().priority() == 1) {
      EXPECT_THAT(input, ElementsAre(4, 6));  // the sum
      EXPECT_EQ(task.envelope.infer().bundle_sha256(),
                std::string(32, kParity));
    }
    if (input[0] == 3) continue;
    Answer(worker, task, {2 * input[0], 2 * input[1]});
  }
  EXPECT_THAT(ValuesOf("a"), ElementsAre(2, 4));
  EXPECT_EQ(ReplyOf("a").source, "exact");
  EXPECT_THAT(ValuesOf("b"), ElementsAre(6, 8));
  EXPECT_EQ(ReplyOf("b").source, "reconstructed");
  EXPECT_EQ(ReplyOf("a").confidence, std::nullopt);
  EXPECT_EQ(ReplyOf("b").confidence, 0.75F);  // 6 and 8: a margin of 2
  EXPECT_EQ(Metric("parm_decodes_total{model=\"m\",outcome=\"made\"}"), 1);
  EXPECT_EQ(Metric("parm_groups_total{model=\"m\",outcome=\"full\"}"), 1);
}

constexpr char kTwoParities[] =
    "    deadline: 60s\n"
    "    redundancy: {policy: coded, code: {scheme: weighted, k: 2, r: 2},"
    " group: {timeout: 30s}, "
    " decode: {trigger: {quantile: 0}, min_confidence: 0.5}}\n";

TEST_F(FrontendLoopCodingTest, IsAsSureOfTwoLossesAsTheirOwnTablesSay) {
  code_ = {.scheme = "weighted", .k = 2, .r = 2};
  for (const auto& [id, probability] :
       {std::pair(kParity, 0.875), std::pair(kSecondParity, 0.625)}) {
    patterns_[id].set_losses(2);
    patterns_[id].set_parities(0b11);
    patterns_[id].add_calibration()->set_probability_right(probability);
  }
  Start({"d", "d", "p", "q"}, kTwoParities);
  Ask("a", RequestOf({1, 2}));
  Ask("b", RequestOf({3, 4}));
  for (int i = 0; i < 4; ++i) {
    const auto [worker, task] = NextTask();
    if (task.envelope.infer().priority() == 1) Answer(worker, task, {8, 12});
  }
  // No need to wait for the deadline.
  for (const char* const name : {"a", "b"}) {
    EXPECT_EQ(ReplyOf(name).source, "reconstructed");
    EXPECT_EQ(ReplyOf(name).confidence, 0.625F);
  }
  EXPECT_EQ(Metric("parm_decodes_total{model=\"m\",outcome=\"held\"}"), 0);
}

TEST_F(FrontendLoopCodingTest, KnowsNoConfidenceWhereNoTableTellsOfThePattern) {
  code_ = {.scheme = "weighted", .k = 2, .r = 2};
  Start({"d", "d", "p", "q"}, kTwoParities);
  Ask("a", RequestOf({1, 2}, {{"parm_mode", "fast"}}));
  Ask("b", RequestOf({3, 4}, {{"parm_mode", "fast"}}));
  for (int i = 0; i < 4; ++i) {
    const auto [worker, task] = NextTask();
    if (task.envelope.infer().priority() == 1) Answer(worker, task, {8, 12});
  }
  for (const char* const name : {"a", "b"}) {
    EXPECT_EQ(ReplyOf(name).source, "reconstructed");
    EXPECT_EQ(ReplyOf(name).confidence, std::nullopt);
  }
}

TEST_F(FrontendLoopCodingTest, StopsReconstructionsWhileLateOriginalsDisagree) {
  Start({"d", "d", "p"},
        "    deadline: 60s\n"
        "    batching: {max_batch_size: 50}\n"
        "    redundancy: {policy: coded, code: {scheme: sum, k: 2},"
        " group: {timeout: 30s},"
        " decode: {trigger: {quantile: 0}, min_agreement: 0.1}}\n");
  constexpr char kGate[] = "parm_reconstruction_gate_total{model=\"m\",event=";
  const std::vector<float> first_class = RepeatedRow({3, 1}, 50);
  const std::vector<float> second_class = RepeatedRow({1, 3}, 50);
  // The decode has the first class. Returns the source of the other member's
  // answer, whose original comes late.
  const auto serve_group = [&](int round, const std::vector<float>& original) {
    const std::string early = absl::StrCat("early ", round);
    const std::string late = absl::StrCat("late ", round);
    Ask(early, RequestOf(RepeatedRow({0, 0}, 50)));
    const auto [early_worker, early_task] = NextTask();
    Ask(late, RequestOf(RepeatedRow({0, 0}, 50)));
    std::pair<size_t, FakeWorker::Message> late_task = NextTask();
    std::pair<size_t, FakeWorker::Message> parity = NextTask();
    if (parity.first != 2) std::swap(late_task, parity);
    Answer(early_worker, early_task, RepeatedRow({0, 0}, 50));
    Answer(parity.first, parity.second, first_class);
    // Held or released: the decode is made.
    EXPECT_TRUE(RunUntil([&] {
      return Metric("parm_decodes_total{model=\"m\",outcome=\"made\"}") ==
             round;
    }));
    Answer(late_task.first, late_task.second, original);
    EXPECT_TRUE(RunUntil([&] {
      return Metric("parm_quality_compared_total{model=\"m\"}") == 50 * round;
    }));
    return ReplyOf(late).source;
  };
  for (int round = 1; round <= 3; ++round) {
    EXPECT_EQ(serve_group(round, second_class), "reconstructed");
  }
  EXPECT_EQ(Metric("parm_agreement{model=\"m\"}"), 0);
  EXPECT_EQ(Metric(absl::StrCat(kGate, "\"closed\"}")), 1);
  EXPECT_EQ(serve_group(4, first_class), "exact");
  EXPECT_EQ(Metric(absl::StrCat(kGate, "\"opened\"}")), 1);
  EXPECT_EQ(serve_group(5, first_class), "reconstructed");
}

TEST_F(FrontendLoopCodingTest, UsesTheBetterUnitOfThoseThatAreServed) {
  constexpr size_t kSumWorker = 2;
  constexpr size_t kPackWorker = 3;
  const auto is_used = [&](const std::string& scheme) {
    return Metric(absl::StrCat("parm_redundancy_unit{model=\"m\",scheme=\"",
                               scheme, "\",k=\"2\",r=\"1\"}")) == 1;
  };
  // As accurate as the bound asks for, though it is listed last.
  Start({"d", "d", "p", "k"},
        "    deadline: 60s\n"
        "    redundancy: {policy: coded, group: {timeout: 30s},"
        " units: [{scheme: sum, k: 2}, {scheme: pack, k: 2}]}\n");
  ASSERT_TRUE(RunUntil([&] { return is_used("pack"); }));
  EXPECT_FALSE(is_used("sum"));
  // Two queries, of which the second has no answer but what is rebuilt.
  const auto serve_group = [&](const std::string& round, size_t parity_worker) {
    Ask(round + " a", RequestOf({1, 2}, {{"parm_mode", "fast"}}));
    Ask(round + " b", RequestOf({3, 4}, {{"parm_mode", "fast"}}));
    std::pair<size_t, FakeWorker::Message> lost;
    for (int i = 0; i < 3; ++i) {
      auto [worker, task] = NextTask();
      std::vector<float> values =
          FloatsOf({reinterpret_cast<const std::byte*>(task.frames[0].data()),
                    task.frames[0].size()});
      if (task.envelope.infer().priority() == 1) {
        EXPECT_EQ(worker, parity_worker) << round;
        EXPECT_EQ(values, parity_worker == kSumWorker
                              ? std::vector<float>({4, 6})
                              : std::vector<float>({1, 2, 3, 4}));
      } else if (values[0] == 3) {
        lost = {worker, std::move(task)};
        continue;
      }
      for (float& value : values) value *= 2;
      Answer(worker, task, values);
    }
    EXPECT_THAT(ValuesOf(round + " a"), ElementsAre(2, 4));
    EXPECT_THAT(ValuesOf(round + " b"), ElementsAre(6, 8));
    EXPECT_EQ(ReplyOf(round + " b").source, "reconstructed");
    Answer(lost.first, lost.second, {6, 8});
  };
  serve_group("first", kPackWorker);

  // Its group is that of the unit whose worker dies.
  Ask("between", RequestOf({5, 6}));
  const auto [worker, task] = NextTask();
  const std::string endpoint = workers_[kPackWorker]->endpoint();
  workers_[kPackWorker].reset();
  ASSERT_TRUE(RunUntil([&] { return is_used("sum"); }));
  EXPECT_FALSE(is_used("pack"));
  Answer(worker, task, {7, 8});
  EXPECT_THAT(ValuesOf("between"), ElementsAre(7, 8));
  serve_group("second", kSumWorker);

  workers_[kPackWorker] = std::make_unique<FakeWorker>(endpoint);
  SayHello(kPackWorker, "k", /*nonce=*/6);
  ASSERT_TRUE(RunUntil([&] { return is_used("pack"); }));
  // It still waits for a sibling, and gets one.
  Ask("sibling", RequestOf({7, 8}));
  for (int i = 0; i < 2; ++i) {
    const auto [next_worker, next] = NextTask();
    const bool is_parity = next.envelope.infer().priority() == 1;
    EXPECT_EQ(is_parity, next_worker == kPackWorker);
    if (!is_parity) Answer(next_worker, next, {9, 9});
  }
  EXPECT_THAT(ValuesOf("sibling"), ElementsAre(9, 9));
  EXPECT_EQ(Metric("parm_groups_total{model=\"m\",outcome=\"full\"}"), 3);
}

TEST_F(FrontendLoopCodingTest, LeavesInputsThatAreNotFiniteUncoded) {
  Start({"d", "d", "p"}, kCoded);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Ask("a", RequestOf({nan, 2}));
  const auto [worker, task] = NextTask();
  Answer(worker, task, {nan, 1});
  EXPECT_THAT(ValuesOf("a"),
              ElementsAre(::testing::NanSensitiveFloatEq(nan), 1));
  EXPECT_EQ(Metric("parm_not_finite_total{where=\"input\"}"), 1);
  EXPECT_EQ(
      Metric("parm_queries_uncoded_total{model=\"m\",reason=\"not_finite\"}"),
      1);
  EXPECT_EQ(Metric("parm_not_finite_total{where=\"output\"}"), 1);
  EXPECT_EQ(Metric("parm_table_entries{table=\"open_groups\"}"), 0);
}

TEST_F(FrontendLoopCodingTest, DecodesNothingWithAnswersThatAreNotFinite) {
  Start({"d", "d", "p"}, kCoded);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  int num_bad = 0;
  for (const bool bad_parity : {false, true}) {
    const std::string a = absl::StrCat("a", num_bad);
    const std::string b = absl::StrCat("b", num_bad);
    Ask(a, RequestOf({1, 2}, {{"parm_mode", "fast"}}));
    Ask(b, RequestOf({3, 4}, {{"parm_mode", "fast"}}));
    std::pair<size_t, FakeWorker::Message> last;
    for (int i = 0; i < 3; ++i) {
      auto [worker, task] = NextTask();
      const bool is_parity = task.envelope.infer().priority() == 1;
      if (!is_parity && task.frames[0] == BytesOf({3, 4})) {
        last = {worker, std::move(task)};
        continue;
      }
      Answer(worker, task, {is_parity == bad_parity ? nan : 1, 1});
    }
    // All that a decode would need is there but for the value.
    ++num_bad;
    EXPECT_TRUE(RunUntil([&] {
      return Metric("parm_in_flight") == 1 &&
             Metric("parm_undecodable_replies_total{model=\"m\"}") == num_bad;
    }));
    EXPECT_EQ(ReplyOf(a).source, "exact");
    EXPECT_EQ(replies_.count(b), 0U);
    Answer(last.first, last.second, {5, 6});
    EXPECT_THAT(ValuesOf(b), ElementsAre(5, 6));
    EXPECT_EQ(ReplyOf(b).source, "exact");
  }
  EXPECT_EQ(Metric("parm_not_finite_total{where=\"output\"}"), 2);
  EXPECT_EQ(Metric("parm_decodes_total{model=\"m\",outcome=\"made\"}"), 0);
}

}  // namespace
}  // namespace parm
