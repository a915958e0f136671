#include "frontend/frontend_loop.h"

#include <memory>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "spdlog/sinks/ostream_sink.h"
#include "spdlog/spdlog.h"
#include "tests/frontend/frontend_loop_fixture.h"
#include "tests/support/matchers.h"
#include "tests/support/text_count.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using FrontendLoopTest = FrontendLoopFixture;

TEST_F(FrontendLoopTest, CarriesAQueryToAWorkerAndBack) {
  Start({"d"}, kNone);
  Ask("a", RequestOf({1, 2}));
  const auto [worker, task] = NextTask();
  EXPECT_THAT(
      FloatsOf({reinterpret_cast<const std::byte*>(task.frames[0].data()),
                task.frames[0].size()}),
      ElementsAre(1, 2));
  EXPECT_EQ(task.envelope.infer().tensors(0).name(), "x");
  Answer(worker, task, {3, 4});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(3, 4));
  const QueryReply& reply = ReplyOf("a");
  EXPECT_EQ(reply.source, "exact");
  EXPECT_EQ(reply.confidence, std::nullopt);
  EXPECT_EQ(reply.response.id, "the client's");
  EXPECT_EQ(reply.response.model_name, "m");
  EXPECT_EQ(reply.response.model_version, "1");
}

TEST_F(FrontendLoopTest, TellsWhatTheModelLooksLike) {
  Start({"d"}, kNone);
  EXPECT_TRUE(frontend_->Ready());
  EXPECT_THAT(frontend_->ModelNames(), ElementsAre("m"));
  EXPECT_THAT(frontend_->ModelReady("m", ""), IsOkAndHolds(true));
  EXPECT_THAT(frontend_->ModelReady("m", "9"),
              StatusIs(absl::StatusCode::kNotFound));
  PARM_ASSERT_OK_AND_ASSIGN(const oip::ModelMetadata metadata,
                            frontend_->Metadata("m", "1"));
  EXPECT_THAT(metadata.versions, ElementsAre("1"));
  EXPECT_EQ(metadata.max_batch_size, 1U);
  ASSERT_EQ(metadata.inputs.size(), 1U);
  EXPECT_THAT(metadata.inputs[0].shape, ElementsAre(-1, 2));
  EXPECT_THAT(frontend_->Metadata("other", ""),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("'other'")));
}

TEST_F(FrontendLoopTest, AnswersUnavailableBeforeAnyHello) {
  workers_.push_back(std::make_unique<FakeWorker>());
  PARM_ASSERT_OK_AND_ASSIGN(
      FrontendOptions options,
      ParseFrontendConfig(
          absl::StrCat("workers: [{endpoint: \"", workers_[0]->endpoint(),
                       "\"}]\nmodels: [{name: m}]\n"),
          "test.yaml"));
  PARM_ASSERT_OK_AND_ASSIGN(frontend_,
                            FrontendLoop::Create(loop_, std::move(options)));
  EXPECT_FALSE(frontend_->Ready());
  EXPECT_THAT(frontend_->ModelReady("m", ""), IsOkAndHolds(false));
  EXPECT_THAT(frontend_->Metadata("m", ""),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("yet")));
  Ask("a", RequestOf({1, 2}));
  EXPECT_THAT(ReplyOf("a").status,
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("no worker serves model 'm' yet")));
  EXPECT_EQ(ReplyOf("a").retry_after_s, 1);
  EXPECT_EQ(Metric("parm_queries_rejected_total{reason=\"no_worker\"}"), 1);
}

TEST_F(FrontendLoopTest, RefusesWhatTheModelDoesNotTake) {
  Start({"d"}, kNone);
  Ask("long", RequestOf({1, 2, 3, 4}));  // two rows, one is allowed
  EXPECT_THAT(ReplyOf("long").status,
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("batch size: got 2, want 1 to 1")));
  oip::InferRequest request = RequestOf({1, 2});
  request.model_name = "other";
  Ask("other", std::move(request));
  EXPECT_THAT(ReplyOf("other").status,
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("'other'")));
  request = RequestOf({1, 2});
  request.model_version = "7";
  Ask("version", std::move(request));
  EXPECT_THAT(ReplyOf("version").status,
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("'7'")));
  EXPECT_EQ(Metric("parm_queries_rejected_total{reason=\"invalid\"}"), 1);
  EXPECT_EQ(Metric("parm_queries_rejected_total{reason=\"not_found\"}"), 2);
}

TEST_F(FrontendLoopTest, JoinsQueriesIntoABatchAndCutsItsAnswer) {
  Start({"d"},
        "    deadline: 60s\n    batching: {max_batch_size: 3,"
        " timeout: 30s}\n");
  Ask("a", RequestOf({1, 2}));
  Ask("b", RequestOf({3, 4, 5, 6}));
  const auto [worker, task] = NextTask();
  EXPECT_THAT(task.envelope.infer().tensors(0).shape(), ElementsAre(3, 2));
  EXPECT_EQ(task.frames[0], BytesOf({1, 2, 3, 4, 5, 6}));
  Answer(worker, task, {10, 20, 30, 40, 50, 60});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(10, 20));
  EXPECT_THAT(ValuesOf("b"), ElementsAre(30, 40, 50, 60));
}

TEST_F(FrontendLoopTest, HandsOnWholeOutputsWithoutABatchDimension) {
  input_shape_ = {1, 2};
  output_shape_ = {4};
  Start({"d"}, kCoded);
  Ask("a", RequestOf({1, 2}));
  const auto [worker, task] = NextTask();
  workers_[worker]->Send(peers_[worker], ReplyTo(task, {4}),
                         {BytesOf({5, 6, 7, 8})});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(5, 6, 7, 8));
  EXPECT_THAT(ReplyOf("a").response.outputs[0].spec.shape, ElementsAre(4));
  EXPECT_EQ(Metric("parm_table_entries{table=\"open_groups\"}"), 0);
  EXPECT_EQ(Metric("parm_queries_uncoded_total{model=\"m\",reason=\"no_batch_"
                   "dimension\"}"),
            1);
}

TEST_F(FrontendLoopTest, JoinsNothingWhereTheBatchIsFixed) {
  input_shape_ = {1, 2};
  output_shape_ = {1, 2};
  Start({"d"},
        "    deadline: 60s\n    batching: {max_batch_size: 2,"
        " timeout: 30s}\n");
  for (const char* name : {"a", "b"}) {
    Ask(name, RequestOf({1, 2}));
    const auto [worker, task] = NextTask();
    EXPECT_THAT(task.envelope.infer().tensors(0).shape(), ElementsAre(1, 2));
    Answer(worker, task, {3, 4});
    EXPECT_THAT(ValuesOf(name), ElementsAre(3, 4));
  }
}

TEST_F(FrontendLoopTest, BatchesQueriesThatCannotBeCoded) {
  input_shape_ = {-1, 2};
  output_shape_ = {-1, -1};
  Start({"d"},
        "    deadline: 60s\n    batching: {max_batch_size: 2, timeout: 30s}\n"
        "    redundancy: {policy: coded, code: {scheme: sum, k: 2}}\n");
  Ask("a", RequestOf({1, 2}));
  Ask("b", RequestOf({3, 4}));
  const auto [worker, task] = NextTask();
  EXPECT_THAT(task.envelope.infer().tensors(0).shape(), ElementsAre(2, 2));
  Answer(worker, task, {5, 6, 7, 8});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(5, 6));
  EXPECT_THAT(ValuesOf("b"), ElementsAre(7, 8));
  EXPECT_EQ(Metric("parm_queries_uncoded_total{model=\"m\",reason=\"not_"
                   "supported\"}"),
            2);
  EXPECT_EQ(Metric("parm_table_entries{table=\"open_groups\"}"), 0);
}

// What is logged while it lives.
class LoggedText {
 public:
  LoggedText() {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_st>(text_)));
  }
  LoggedText(const LoggedText&) = delete;
  LoggedText& operator=(const LoggedText&) = delete;
  ~LoggedText() { spdlog::set_default_logger(before_); }

  size_t Count(const std::string& line) const {
    return CountOf(text_.str(), line);
  }

 private:
  const std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
  std::ostringstream text_;
};

TEST_F(FrontendLoopTest, PassesQueriesOfSeveralInputsThrough) {
  const LoggedText log;
  has_second_input_ = true;
  Start({"d", "d"}, kCoded);
  for (const int64_t size : {1, 2}) {  // two layouts
    const std::string name = absl::StrCat("query ", size);
    oip::InferRequest request = RequestOf({1, 2});
    request.inputs.push_back(
        {.spec = {.name = "z", .datatype = DataType::kFp32, .shape = {1, size}},
         .data = Buffer::FromString(
             BytesOf(std::vector<float>(static_cast<size_t>(size), 7)))});
    Ask(name, std::move(request));
    const auto [worker, task] = NextTask();
    ASSERT_EQ(task.frames.size(), 2U);
    EXPECT_EQ(task.frames[0], BytesOf({1, 2}));
    EXPECT_EQ(task.frames[1].size(), static_cast<size_t>(size) * sizeof(float));
    Answer(worker, task, {3, 4});
    EXPECT_THAT(ValuesOf(name), ElementsAre(3, 4));
    EXPECT_EQ(ReplyOf(name).source, "exact");
  }
  EXPECT_EQ(
      Metric(
          "parm_queries_uncoded_total{model=\"m\",reason=\"several_tensors\"}"),
      2);
  EXPECT_EQ(log.Count("queries of model 'm' are not coded"), 1U);
}

TEST_F(FrontendLoopTest, TakesInputsThatHaveNoRows) {
  input_shape_ = {2};
  output_shape_ = {-1};
  Start({"d"}, kNone);
  oip::InferRequest request = RequestOf({1, 2});
  request.inputs[0].spec.shape = {2};
  Ask("a", std::move(request));
  const auto [worker, task] = NextTask();
  workers_[worker]->Send(peers_[worker], ReplyTo(task, {3}),
                         {BytesOf({5, 6, 7})});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(5, 6, 7));
  PARM_ASSERT_OK_AND_ASSIGN(const oip::ModelMetadata metadata,
                            frontend_->Metadata("m", ""));
  EXPECT_EQ(metadata.max_batch_size, 0U);
}

TEST_F(FrontendLoopTest, SaysSoWhenTheDeadlinePasses) {
  Start({"d"}, kNone);
  Ask("a", RequestOf({1, 2}, {{"parm_deadline_us", int64_t{30'000}}}));
  EXPECT_THAT(ReplyOf("a").status,
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       HasSubstr("parm-frontend: no answer by the deadline of "
                                 "30000 us")));
}

TEST_F(FrontendLoopTest, RefusesQueriesThatExpireOnTheirWayIn) {
  // To look at so many values takes more than a microsecond anywhere.
  constexpr int64_t kValues = int64_t{1} << 18;
  input_shape_ = {-1, kValues};
  output_shape_ = {-1, 2};
  Start({"d"}, kCoded);
  oip::InferRequest request = RequestOf(std::vector<float>(kValues, 1.0F),
                                        {{"parm_deadline_us", int64_t{1}}});
  request.inputs[0].spec.shape = {1, kValues};
  Ask("a", std::move(request));
  EXPECT_THAT(ReplyOf("a").status,
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       HasSubstr("no answer by the deadline of 1 us")));
  EXPECT_EQ(Metric("parm_queries_rejected_total{reason=\"expired\"}"), 1);
}

TEST_F(FrontendLoopTest, GivesTheConfiguredDefaultAtTheDeadline) {
  Start({"d"},
        "    deadline: 1s\n    redundancy: {decode: {slack: 1ms}}\n"
        "    default_answer: {values: [0.5, 0.25]}\n"
        "    batching: {max_batch_size: 2}\n");
  Ask("a", RequestOf({1, 2, 3, 4}));
  EXPECT_THAT(ValuesOf("a"), ElementsAre(0.5, 0.25, 0.5, 0.25));
  EXPECT_EQ(ReplyOf("a").source, "default");
  EXPECT_EQ(Metric("parm_defaults_misfit_total"), 0);
}

TEST_F(FrontendLoopTest, NoticesAMisfitDefaultAtTheFirstHello) {
  Start({"d", "d"}, "    default_answer: {values: [0.5]}\n");
  EXPECT_EQ(Metric("parm_defaults_misfit_total"), 1);
}

TEST_F(FrontendLoopTest, ForgetsQueriesThatWereAbandoned) {
  Start({"d"}, kNone);
  const QueryHandle handle = Ask("a", RequestOf({1, 2}));
  const auto [worker, task] = NextTask();
  frontend_->Abandon(handle);
  frontend_->Abandon(handle);           // harmless
  frontend_->Abandon(QueryHandle{99});  // nobody's
  Answer(worker, task, {3, 4});
  ASSERT_TRUE(RunUntil([&] {
    return Metric("parm_table_entries{table=\"task_ledger\"}") == 0;
  }));
  EXPECT_THAT(replies_, IsEmpty());
  EXPECT_EQ(Metric("parm_queries_abandoned_total{model=\"m\"}"), 1);
}

TEST_F(FrontendLoopTest, DrainsAfterTheLastAnswer) {
  Start({"d"}, kNone);
  Ask("a", RequestOf({1, 2}));
  const auto [worker, task] = NextTask();
  bool drained = false;
  frontend_->Drain([&] { drained = true; });
  EXPECT_FALSE(frontend_->Ready());
  Ask("b", RequestOf({1, 2}));
  EXPECT_THAT(ReplyOf("b").status, StatusIs(absl::StatusCode::kUnavailable,
                                            HasSubstr("shutting down")));
  EXPECT_EQ(Metric("parm_queries_rejected_total{reason=\"draining\"}"), 1);
  EXPECT_FALSE(drained);
  Answer(worker, task, {3, 4});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(3, 4));
  EXPECT_TRUE(RunUntil([&] { return drained; }));
}

TEST_F(FrontendLoopTest, CountsFurtherAttemptsByWhatHeadersSay) {
  Start({"d"}, kNone);
  oip::InferRequest again = RequestOf({1, 2});
  again.headers = "grpc-previous-rpc-attempts: 1\r\n";
  Ask("again", again);
  EXPECT_EQ(Metric("parm_further_attempts_total{model=\"m\"}"), 1);
  again.late_in_stream = true;  // said of the stream's first queries
  Ask("late", again);
  EXPECT_EQ(Metric("parm_further_attempts_total{model=\"m\"}"), 1);
}

TEST_F(FrontendLoopTest, RefusesQueriesBeyondItsBound) {
  Start({"d"}, kNone,
        absl::StrCat("limits: {max_queries: 2}\n", kPatientHealth));
  Ask("a", RequestOf({1, 2}));
  Ask("b", RequestOf({1, 2}));
  Ask("c", RequestOf({1, 2}));
  EXPECT_THAT(ReplyOf("c").status,
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReplyOf("c").retry_after_s, 1);
  EXPECT_EQ(Metric("parm_queries_rejected_total{reason=\"max_queries\"}"), 1);
}

TEST_F(FrontendLoopTest, CountsOutputsAgainstTheMemoryBound) {
  constexpr int64_t kFloats = 300'000;  // more than 1 MiB
  input_shape_ = {-1, 2};
  output_shape_ = {-1, kFloats};
  Start(
      {"d"}, kCoded,
      absl::StrCat("limits: {max_buffered_bytes: 1048576}\n", kPatientHealth));
  Ask("a", RequestOf({1, 2}));
  const auto [worker, task] = NextTask();
  workers_[worker]->Send(peers_[worker], ReplyTo(task, {1, kFloats}),
                         {std::string(kFloats * sizeof(float), '\0')});
  EXPECT_THAT(ReplyOf("a").status, IsOk());
  // It is kept for the sibling that may need it.
  EXPECT_GT(Metric("parm_buffered_bytes"), 1'200'000);
  Ask("b", RequestOf({1, 2}));
  EXPECT_THAT(ReplyOf("b").status,
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("too many bytes")));
  EXPECT_EQ(ReplyOf("b").retry_after_s, 1);
  EXPECT_EQ(
      Metric("parm_queries_rejected_total{reason=\"max_buffered_bytes\"}"), 1);
}

TEST_F(FrontendLoopTest, RefusesInputsThatAWorkerWouldNotTake) {
  max_message_bytes_ = 16;
  Start({"d"}, "    deadline: 60s\n    batching: {max_batch_size: 3}\n");
  Ask("large", RequestOf({1, 2, 3, 4, 5, 6}));
  EXPECT_THAT(ReplyOf("large").status,
              StatusIs(absl::StatusCode::kOutOfRange,
                       HasSubstr("got 24 bytes, want at most 16")));
  EXPECT_EQ(Metric("parm_queries_rejected_total{reason=\"too_large\"}"), 1);
  Ask("fits", RequestOf({1, 2, 3, 4}));
  const auto [worker, task] = NextTask();
  Answer(worker, task, {3, 4, 5, 6});
  EXPECT_THAT(ReplyOf("fits").status, IsOk());
}

}  // namespace
}  // namespace parm
