#include "frontend/frontend_loop.h"

#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "spdlog/sinks/ostream_sink.h"
#include "spdlog/spdlog.h"
#include "tests/frontend/upstream/fake_worker.h"
#include "tests/support/infer_client.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// These workers send no heartbeats, and a busy machine may take its time.
constexpr char kPatientHealth[] = "health: {heartbeat_timeout: 60s}\n";

constexpr char kDeployed = 'd';
constexpr char kParity = 'p';
constexpr char kSecondParity = 'q';

bool IsParity(char id) { return id == kParity || id == kSecondParity; }

wire::TensorSpec Spec(const std::string& name,
                      const std::vector<int64_t>& shape) {
  wire::TensorSpec spec;
  spec.set_name(name);
  spec.set_datatype(wire::FP32);
  spec.mutable_shape()->Add(shape.begin(), shape.end());
  return spec;
}

// Model "m": x [-1,2] -> y [-1,2]. The sha256 is 32 times `id`.
wire::BundleInfo BundleOf(char id, const CodeSpec& code) {
  wire::BundleInfo info;
  info.set_sha256(std::string(32, id));
  info.set_model("m");
  info.set_version("1");
  info.set_role(IsParity(id) ? wire::PARITY : wire::DEPLOYED);
  *info.add_inputs() = Spec("x", {-1, 2});
  *info.add_outputs() = Spec("y", {-1, 2});
  if (IsParity(id)) {
    info.mutable_lineage()->set_deployed_sha256(std::string(32, kDeployed));
    info.mutable_lineage()->set_parity_index(id == kSecondParity ? 1 : 0);
    info.mutable_lineage()->mutable_code()->set_scheme(code.scheme);
    info.mutable_lineage()->mutable_code()->set_k(
        static_cast<uint32_t>(code.k));
    info.mutable_lineage()->mutable_code()->set_r(
        static_cast<uint32_t>(code.r));
    wire::CalibrationBin* bin = info.add_calibration();
    bin->set_probability_right(0.25);
    bin = info.add_calibration();
    bin->set_margin_at_least(1.5);
    bin->set_probability_right(0.75);
  }
  return info;
}

std::string BytesOf(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()),
          values.size() * sizeof(float)};
}

std::vector<float> FloatsOf(absl::Span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::vector<float> RepeatedRow(const std::vector<float>& row, int times) {
  std::vector<float> values;
  for (int i = 0; i < times; ++i) {
    values.insert(values.end(), row.begin(), row.end());
  }
  return values;
}

oip::InferRequest RequestOf(const std::vector<float>& values,
                            oip::Parameters parameters = {}) {
  oip::InferRequest request;
  request.model_name = "m";
  request.id = "the client's";
  request.parameters = std::move(parameters);
  request.inputs.push_back(
      {.spec = {.name = "x",
                .datatype = DataType::kFp32,
                .shape = {static_cast<int64_t>(values.size()) / 2, 2}},
       .data = Buffer::FromString(BytesOf(values))});
  return request;
}

// The loop in this thread, with workers that do what the test says.
class FrontendLoopTest : public ::testing::Test {
 protected:
  // Worker i serves the bundles of `ids[i]`, and has said hello.
  void Start(const std::vector<std::string>& ids, const std::string& model,
             const std::string& more = kPatientHealth) {
    std::string yaml = "workers:\n";
    for (size_t i = 0; i < ids.size(); ++i) {
      workers_.push_back(std::make_unique<FakeWorker>());
      absl::StrAppend(&yaml, "  - {endpoint: \"", workers_[i]->endpoint(),
                      "\"}\n");
    }
    absl::StrAppend(&yaml, "models:\n  - name: m\n", model, more);
    PARM_ASSERT_OK_AND_ASSIGN(FrontendOptions options,
                              ParseFrontendConfig(yaml, "test.yaml"));
    PARM_ASSERT_OK_AND_ASSIGN(frontend_,
                              FrontendLoop::Create(loop_, std::move(options)));
    peers_.resize(ids.size());
    for (size_t i = 0; i < ids.size(); ++i) SayHello(i, ids[i]);
  }

  // Answers until an answer is taken: one that comes after its timeout is not.
  void SayHello(size_t worker, const std::string& ids, uint64_t nonce = 5) {
    const wire::Envelope hello = HelloOf(worker, ids, nonce);
    ASSERT_TRUE(RunUntil([&] {
      if (const auto request = workers_[worker]->Receive()) {
        EXPECT_TRUE(request->envelope.has_hello_request());
        peers_[worker] = request->peer;
        workers_[worker]->Send(request->peer, hello);
      }
      return IsUp(worker);
    }));
  }

  wire::Envelope HelloOf(size_t worker, const std::string& ids,
                         uint64_t nonce) {
    wire::Envelope envelope;
    wire::Hello& hello = *envelope.mutable_hello();
    hello.set_worker_id(absl::StrCat("w", worker));
    hello.set_instance_nonce(nonce);
    hello.set_lanes(1);
    hello.set_max_message_bytes(max_message_bytes_);
    for (const char id : ids) {
      *hello.add_bundles() = BundleOf(id, code_);
    }
    if (!input_shape_.empty()) {
      *hello.mutable_bundles(0)->mutable_inputs(0) = Spec("x", input_shape_);
      *hello.mutable_bundles(0)->mutable_outputs(0) = Spec("y", output_shape_);
    }
    if (has_second_input_) {
      *hello.mutable_bundles(0)->add_inputs() = Spec("z", {-1, -1});
    }
    return envelope;
  }

  bool IsUp(size_t worker) {
    return Metric(absl::StrCat("parm_worker_state{worker=\"",
                               workers_[worker]->endpoint(),
                               "\",state=\"up\"}")) == 1;
  }

  bool RunUntil(const std::function<bool()>& done) {
    const auto give_up =
        std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      loop_.run_one_for(std::chrono::milliseconds(2));
    }
    return true;
  }

  FakeWorker::Message Next(size_t worker) {
    std::optional<FakeWorker::Message> message;
    EXPECT_TRUE(RunUntil([&] {
      message = workers_[worker]->Receive();
      return message.has_value();
    }));
    return message.value_or(FakeWorker::Message{});
  }

  // The next task of any worker, with the worker that got it; heartbeat
  // requests and cancels are passed over.
  std::pair<size_t, FakeWorker::Message> NextTask() {
    std::pair<size_t, FakeWorker::Message> task;
    EXPECT_TRUE(RunUntil([&] {
      for (size_t i = 0; i < workers_.size(); ++i) {
        while (auto message = workers_[i]->Receive()) {
          if (!message->envelope.has_infer()) continue;
          task = {i, *std::move(message)};
          return true;
        }
      }
      return false;
    }));
    return task;
  }

  wire::Envelope ReplyTo(const FakeWorker::Message& task,
                         const std::vector<int64_t>& shape = {1, 2}) {
    wire::Envelope envelope;
    wire::Reply& reply = *envelope.mutable_reply();
    reply.set_task_id(task.envelope.infer().task_id());
    reply.set_instance_nonce(5);
    reply.set_status(wire::OK);
    *reply.add_tensors() = Spec("y", shape);
    return envelope;
  }

  void Answer(size_t worker, const FakeWorker::Message& task,
              const std::vector<float>& values) {
    workers_[worker]->Send(
        peers_[worker],
        ReplyTo(task, {static_cast<int64_t>(values.size()) / 2, 2}),
        {BytesOf(values)});
  }

  QueryHandle Ask(const std::string& name, oip::InferRequest request) {
    in_infer_ = true;
    const QueryHandle handle =
        frontend_->Infer(std::move(request), [this, name](QueryReply reply) {
          EXPECT_FALSE(in_infer_) << "answered inside Infer";
          EXPECT_EQ(replies_.count(name), 0U) << "answered twice";
          replies_[name] = std::move(reply);
        });
    in_infer_ = false;
    return handle;
  }

  const QueryReply& ReplyOf(const std::string& name) {
    EXPECT_TRUE(RunUntil([&] { return replies_.count(name) == 1; }));
    return replies_[name];
  }
  std::vector<float> ValuesOf(const std::string& name) {
    const QueryReply& reply = ReplyOf(name);
    EXPECT_THAT(reply.status, IsOk());
    if (reply.response.outputs.empty()) return {};
    return FloatsOf(reply.response.outputs[0].data.bytes());
  }

  double Metric(const std::string& name) {
    return MetricValue("\n" + frontend_->MetricsText(), name);
  }

  uint64_t max_message_bytes_ = 0;  // as every worker says
  CodeSpec code_ = {.scheme = "sum", .k = 2};
  // Of every worker's first bundle, if not empty.
  std::vector<int64_t> input_shape_;
  std::vector<int64_t> output_shape_;
  bool has_second_input_ = false;  // z [-1,-1], of every worker's first bundle

  boost::asio::io_context loop_;
  std::vector<std::unique_ptr<FakeWorker>> workers_;
  std::vector<std::string> peers_;
  std::map<std::string, QueryReply> replies_;
  bool in_infer_ = false;
  std::unique_ptr<FrontendLoop> frontend_;
};

constexpr char kNone[] = "    deadline: 10s\n";
constexpr char kCoded[] =
    "    deadline: 10s\n"
    "    redundancy: {policy: coded, code: {scheme: sum, k: 2},"
    " group: {timeout: 5s}}\n";

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
        "    deadline: 10s\n    batching: {max_batch_size: 3,"
        " timeout: 5s}\n");
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
        "    deadline: 10s\n    batching: {max_batch_size: 2,"
        " timeout: 5s}\n");
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
        "    deadline: 10s\n    batching: {max_batch_size: 2, timeout: 5s}\n"
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

  int Count(const std::string& line) const {
    const std::string text = text_.str();
    int count = 0;
    for (size_t at = text.find(line); at != std::string::npos;
         at = text.find(line, at + 1)) {
      ++count;
    }
    return count;
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
  EXPECT_EQ(log.Count("queries of model 'm' are not coded"), 1);
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

TEST_F(FrontendLoopTest, ReconstructsAMemberThatIsNeverAnswered) {
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

TEST_F(FrontendLoopTest, KnowsNoConfidenceForTwoLossesOfASum) {
  code_ = {.scheme = "weighted", .k = 2, .r = 2};
  Start({"d", "d", "p", "q"},
        "    deadline: 10s\n"
        "    redundancy: {policy: coded, code: {scheme: weighted, k: 2, r: 2},"
        " group: {timeout: 5s}}\n");
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

TEST_F(FrontendLoopTest, StopsReconstructionsWhileLateOriginalsDisagree) {
  Start({"d", "d", "p"},
        "    deadline: 20s\n"
        "    batching: {max_batch_size: 50}\n"
        "    redundancy: {policy: coded, code: {scheme: sum, k: 2},"
        " group: {timeout: 10s},"
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

TEST_F(FrontendLoopTest, LeavesInputsThatAreNotFiniteUncoded) {
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

TEST_F(FrontendLoopTest, DecodesNothingWithAnswersThatAreNotFinite) {
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

TEST_F(FrontendLoopTest, TriesElsewhereAfterAReplyOfTheWrongShape) {
  Start({"d", "d"}, kNone);
  Ask("a", RequestOf({1, 2}));
  const auto [first, task] = NextTask();
  workers_[first]->Send(peers_[first], ReplyTo(task, {1, 3}),
                        {BytesOf({1, 2, 3})});
  const auto [second, again] = NextTask();
  Answer(second, again, {3, 4});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(3, 4));
  EXPECT_EQ(Metric("parm_replies_rejected_total{reason=\"not_the_models\"}"),
            1);
}

TEST_F(FrontendLoopTest, TriesElsewhereAfterGarbage) {
  Start({"d", "d"}, kNone);
  Ask("a", RequestOf({1, 2}));
  const auto [first, task] = NextTask();
  workers_[first]->Send(peers_[first], ReplyTo(task), {"short"});
  const auto [second, again] = NextTask();
  Answer(second, again, {3, 4});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(3, 4));
  EXPECT_EQ(Metric("parm_frames_rejected_total{reason=\"malformed\"}"), 1);
}

TEST_F(FrontendLoopTest, AnswersOnceWhenAWorkerRepliesTwice) {
  Start({"d"}, kNone);
  Ask("a", RequestOf({1, 2}));
  const auto [worker, task] = NextTask();
  Answer(worker, task, {3, 4});
  Answer(worker, task, {5, 6});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(3, 4));
  ASSERT_TRUE(RunUntil([&] {
    return Metric("parm_replies_rejected_total{reason=\"unknown_task\"}") == 1;
  }));
}

TEST_F(FrontendLoopTest, IgnoresRepliesToTasksThatWereNeverSent) {
  Start({"d"}, kNone);
  FakeWorker::Message made_up;
  made_up.envelope.mutable_infer()->set_task_id(4711);
  Answer(0, made_up, {3, 4});
  wire::Envelope early = ReplyTo(made_up);
  early.mutable_reply()->set_exit_stage(1);
  workers_[0]->Send(peers_[0], early, {BytesOf({1, 2})});
  ASSERT_TRUE(RunUntil([&] {
    return Metric("parm_replies_rejected_total{reason=\"exit_stage\"}") == 1;
  }));
  EXPECT_EQ(Metric("parm_replies_rejected_total{reason=\"unknown_task\"}"), 1);
  EXPECT_EQ(Metric("parm_table_entries{table=\"buffers\"}"), 0);
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
        "    deadline: 30ms\n    redundancy: {decode: {slack: 1ms}}\n"
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

TEST_F(FrontendLoopTest, PassesOnWhatTheWorkerSaid) {
  Start({"d"}, kNone);
  Ask("a", RequestOf({1, 2}));
  const auto [worker, task] = NextTask();
  wire::Envelope reply = ReplyTo(task);
  reply.mutable_reply()->clear_tensors();
  reply.mutable_reply()->set_status(wire::ERROR);
  reply.mutable_reply()->set_error("the cat sat on it");
  workers_[worker]->Send(peers_[worker], reply);
  EXPECT_THAT(ReplyOf("a").status,
              StatusIs(absl::StatusCode::kInternal,
                       HasSubstr("parm-frontend: the worker failed: the cat")));
}

TEST_F(FrontendLoopTest, DispatchesAgainWhenAWorkerDies) {
  Start({"d", "d"}, kNone);
  Ask("a", RequestOf({1, 2}));
  const auto [first, task] = NextTask();
  workers_[first].reset();
  const size_t other = 1 - first;
  FakeWorker::Message again = Next(other);
  while (!again.envelope.has_infer()) again = Next(other);
  Answer(other, again, {3, 4});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(3, 4));
  EXPECT_EQ(Metric("parm_tasks_redispatched_total"), 1);
  EXPECT_EQ(Metric("parm_worker_events_total{event=\"lost\"}"), 1);
}

TEST_F(FrontendLoopTest, MovesToTheVersionOfWorkersThatTakeTasks) {
  Start({"d", "d", "e"}, kNone);
  wire::Envelope drain;
  drain.mutable_drain()->set_instance_nonce(5);
  for (const size_t old : {0U, 1U}) {
    workers_[old]->Send(peers_[old], drain);
    ASSERT_TRUE(RunUntil([&] { return !IsUp(old); }));
  }
  Ask("a", RequestOf({1, 2}));
  const auto [worker, task] = NextTask();
  EXPECT_EQ(worker, 2U);
  EXPECT_EQ(task.envelope.infer().bundle_sha256(), std::string(32, 'e'));
  Answer(worker, task, {3, 4});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(3, 4));
}

TEST_F(FrontendLoopTest, LeavesTheVersionOfASilentWorker) {
  Start({"d", "e"}, kNone, "health: {heartbeat_timeout: 2s}\n");
  ASSERT_TRUE(RunUntil([&] { return !IsUp(0) && !IsUp(1); }));
  wire::Envelope heartbeat;
  heartbeat.mutable_heartbeat()->set_instance_nonce(5);
  workers_[1]->Send(peers_[1], heartbeat);
  ASSERT_TRUE(RunUntil([&] { return IsUp(1); }));
  EXPECT_TRUE(frontend_->Ready());
  Ask("a", RequestOf({1, 2}));
  const auto [worker, task] = NextTask();
  EXPECT_EQ(worker, 1U);
  Answer(worker, task, {3, 4});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(3, 4));
}

TEST_F(FrontendLoopTest, HearsFromAWorkerByWhateverItSays) {
  Start({"d"}, kNone, "health: {heartbeat_timeout: 2s}\n");
  for (const bool drain : {false, true}) {
    ASSERT_TRUE(RunUntil([&] { return !IsUp(0); }));
    wire::Envelope envelope;
    if (drain) {
      envelope.mutable_drain()->set_instance_nonce(5);
    } else {
      envelope.mutable_started()->set_instance_nonce(5);
      envelope.mutable_started()->set_task_id(1);
    }
    ASSERT_TRUE(RunUntil([&] {
      workers_[0]->Send(peers_[0], envelope);
      return Metric(absl::StrCat("parm_worker_state{worker=\"",
                                 workers_[0]->endpoint(), "\",state=\"",
                                 drain ? "draining" : "up", "\"}")) == 1;
    }));
  }
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
  Start({"d"}, "    deadline: 10s\n    batching: {max_batch_size: 3}\n");
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
