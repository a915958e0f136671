// The loop in front of model servers that are not ours, alone and beside a
// worker of ours: which answers leave, and what a server may do to them.

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "frontend/frontend_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/bundle.h"
#include "proto/npy_header.h"
#include "proto/wire_codec.h"
#include "tests/frontend/upstream/fake_worker.h"
#include "tests/frontend/upstream/oip/fake_model_server.h"
#include "tests/support/infer_client.h"
#include "tests/support/linear_model.h"
#include "tests/support/matchers.h"
#include "tests/support/run_loop.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAreArray;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::Not;

using Request = FakeModelServer::Request;
using Peer = FakeModelServer::Peer;

const LinearModelSpec kModel{.seed = 5, .num_inputs = 2, .num_outputs = 2};
constexpr char kNone[] = "    deadline: 60s\n";
constexpr char kCoded[] =
    "    deadline: 60s\n"
    "    redundancy: {policy: coded, code: {scheme: sum, k: 2},"
    " group: {timeout: 30s}, decode: {trigger: {quantile: 0}}}\n";

std::string BytesOf(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()),
          values.size() * sizeof(float)};
}

std::vector<float> FloatsOf(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// What the linear model answers to the tensor at the end of a request.
std::string AnswerTo(const Request& request) {
  return BinaryAnswer(BytesOf(LinearOutput(
      kModel, FloatsOf(request.body.substr(request.body.size() - 8)))));
}

class ModelServersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LinearBundleOptions options{.model = kModel, .sample_shape = {2}};
    PARM_ASSERT_OK_AND_ASSIGN(const Bundle plain,
                              WriteLinearBundle(scratch_ / "plain", options));
    // With two probes, as parm-train writes them.
    bundle::Manifest manifest = plain.manifest;
    manifest.mutable_probes()->set_inputs_npy("in.npy");
    manifest.mutable_probes()->set_outputs_npy("out.npy");
    std::string inputs = WriteNpyHeader(DataType::kFp32, {2, 2});
    std::string outputs = inputs;
    for (const std::vector<float>& probe :
         {std::vector<float>{1, 2}, std::vector<float>{-3, 5}}) {
      inputs += BytesOf(probe);
      outputs += BytesOf(LinearOutput(kModel, probe));
    }
    PARM_ASSERT_OK_AND_ASSIGN(
        deployed_, WriteBundle(scratch_ / "deployed", manifest,
                               {{"model.txt", ReadFile(plain.model_path)},
                                {"in.npy", inputs},
                                {"out.npy", outputs}}));
    PARM_ASSERT_OK_AND_ASSIGN(
        parity_, WriteLinearParityBundle(scratch_ / "parity", options,
                                         deployed_, {.scheme = "sum", .k = 2}));
  }

  // Two servers of model "m", then one of its parity model if `parity` names
  // its bundle; `bundle` is what the first two are said to serve.
  void Start(const std::string& model, const std::string& bundle = "",
             const std::string& parity = "", const std::string& worker = "") {
    std::string yaml = "workers:\n";
    for (int i = 0; i < (parity.empty() ? 2 : 3); ++i) {
      servers_.push_back(std::make_unique<FakeModelServer>(loop_));
      const std::string& served = i < 2 ? bundle : parity;
      absl::StrAppend(&yaml, "  - {endpoint: \"", servers_.back()->url(),
                      "\", serves: [{name: m",
                      served.empty() ? "" : ", bundle: ", served, "}]}\n");
      servers_.back()->on_infer = answer_;
    }
    if (!worker.empty()) {
      absl::StrAppend(&yaml, "  - {endpoint: \"", worker, "\"}\n");
    }
    absl::StrAppend(&yaml, "models:\n  - name: m\n", model,
                    "health: {heartbeat_timeout: 60s}\n");
    PARM_ASSERT_OK_AND_ASSIGN(FrontendOptions options,
                              ParseFrontendConfig(yaml, "test.yaml"));
    options.oip.heartbeat_interval = Milliseconds(2);
    options.oip.bundle_check_interval = bundle_check_interval_;
    PARM_ASSERT_OK_AND_ASSIGN(frontend_,
                              FrontendLoop::Create(loop_, std::move(options)));
    for (const auto& server : servers_) {
      ASSERT_TRUE(RunUntil([&] { return IsUp(server->url()); }));
    }
  }

  bool IsUp(const std::string& endpoint) {
    return Metric(absl::StrCat("parm_worker_state{worker=\"", endpoint,
                               "\",state=\"up\"}")) == 1;
  }

  bool RunUntil(const std::function<bool()>& done) {
    return RunLoopUntil(loop_, done);
  }

  void Ask(const std::string& name, const std::vector<float>& values) {
    oip::InferRequest request;
    request.model_name = "m";
    request.inputs.push_back(
        {.spec = {.name = "x", .datatype = DataType::kFp32, .shape = {1, 2}},
         .data = Buffer::FromString(BytesOf(values))});
    frontend_->Infer(std::move(request), [this, name](QueryReply reply) {
      replies_[name] = std::move(reply);
    });
  }

  // Of sequence 7; `flag`: a parameter that is true.
  void AskStep(const std::string& name, const std::string& flag) {
    oip::InferRequest request;
    request.model_name = "m";
    request.parameters = {{"sequence_id", int64_t{7}}};
    if (!flag.empty()) request.parameters.emplace_back(flag, true);
    request.inputs.push_back(
        {.spec = {.name = "x", .datatype = DataType::kFp32, .shape = {1, 2}},
         .data = Buffer::FromString(BytesOf({1, 2}))});
    frontend_->Infer(std::move(request), [this, name](QueryReply reply) {
      replies_[name] = std::move(reply);
    });
  }

  const QueryReply& ReplyOf(const std::string& name) {
    EXPECT_TRUE(RunUntil([&] { return replies_.count(name) == 1; })) << name;
    return replies_[name];
  }

  void ExpectAnswer(const std::string& name, const std::vector<float>& values,
                    const std::string& source) {
    const QueryReply& reply = ReplyOf(name);
    ASSERT_THAT(reply.status, IsOk());
    EXPECT_EQ(reply.source, source);
    ASSERT_EQ(reply.response.outputs.size(), 1U);
    EXPECT_EQ(reply.response.outputs[0].spec.name, "y");
    const auto bytes = reply.response.outputs[0].data.bytes();
    EXPECT_THAT(
        FloatsOf({reinterpret_cast<const char*>(bytes.data()), bytes.size()}),
        ElementsAreArray(LinearOutput(kModel, values)));
  }

  double Metric(const std::string& name) {
    return MetricValue("\n" + frontend_->MetricsText(), name);
  }

  // Whoever gets the next task of model "m" does this with it, once.
  void NextTaskMeets(std::function<void(const Request&, const Peer&)> fate) {
    const auto once =
        std::make_shared<std::function<void(const Request&, const Peer&)>>(
            std::move(fate));
    for (const auto& server : servers_) {
      server->on_infer = [once](const Request& request, const Peer& peer) {
        if (*once == nullptr) return peer.Send(AnswerTo(request));
        std::exchange(*once, nullptr)(request, peer);
      };
    }
  }

  FakeModelServer::Handler answer_ = [](const Request& request,
                                        const Peer& peer) {
    peer.Send(AnswerTo(request));
  };
  Duration bundle_check_interval_{0};
  const ScratchDirectory scratch_;
  Bundle deployed_;
  Bundle parity_;
  boost::asio::io_context loop_;
  std::vector<std::unique_ptr<FakeModelServer>> servers_;
  std::map<std::string, QueryReply> replies_;
  std::unique_ptr<FrontendLoop> frontend_;
};

TEST_F(ModelServersTest, AnswersFromServersThatNobodyChanged) {
  Start(kNone);
  EXPECT_TRUE(frontend_->Ready());
  Ask("a", {1, 2});
  ExpectAnswer("a", {1, 2}, "exact");
  EXPECT_EQ(ReplyOf("a").response.model_version, "1");
  PARM_ASSERT_OK_AND_ASSIGN(const ModelMetadata metadata,
                            frontend_->Metadata("m", ""));
  EXPECT_EQ(metadata.inputs[0].name, "x");
  EXPECT_EQ(Metric("parm_server_replies_total{outcome=\"ok\"}"), 1);
}

TEST_F(ModelServersTest, HandsOnWhatTheClientSaidBeside) {
  Start(kCoded, deployed_.directory, parity_.directory);
  const auto ask = [this](const std::string& name, oip::Parameters parameters) {
    oip::InferRequest request;
    request.model_name = "m";
    request.id = "the client's";
    request.headers = "authorization: Bearer x\r\ntraceparent: 00-1\r\n";
    request.parameters = std::move(parameters);
    request.inputs.push_back(
        {.spec = {.name = "x", .datatype = DataType::kFp32, .shape = {1, 2}},
         .data = Buffer::FromString(BytesOf({1, 2}))});
    frontend_->Infer(std::move(request), [this, name](QueryReply reply) {
      replies_[name] = std::move(reply);
    });
  };
  Request seen;
  NextTaskMeets([&](const Request& request, const Peer& peer) {
    seen = request;
    peer.Send(AnswerTo(request));
  });
  ask("a", {{"priority", int64_t{2}}, {"parm_mode", std::string("exact")}});
  ExpectAnswer("a", {1, 2}, "exact");
  EXPECT_EQ(seen.headers["authorization"], "Bearer x");
  EXPECT_EQ(seen.headers["traceparent"], "00-1");
  EXPECT_THAT(seen.body, HasSubstr(R"("id":"the client's")"));
  EXPECT_THAT(seen.body, HasSubstr(R"("priority":2)"));
  EXPECT_THAT(seen.body, Not(HasSubstr("parm_mode")));
  // What it means to the server nobody here knows: it is in no coding group.
  EXPECT_EQ(Metric("parm_queries_uncoded_total{model=\"m\","
                   "reason=\"parameters\"}"),
            1);
}

TEST_F(ModelServersTest, KeepsASequenceAtItsServer) {
  Start(kCoded, deployed_.directory, parity_.directory);
  std::vector<size_t> asked;
  std::vector<std::string> bodies;
  for (size_t i = 0; i < servers_.size(); ++i) {
    servers_[i]->on_infer = [&, i](const Request& request, const Peer& peer) {
      asked.push_back(i);
      bodies.push_back(request.body);
      peer.Send(AnswerTo(request));
    };
  }
  for (int step = 0; step < 6; ++step) {
    const std::string name = absl::StrCat("step ", step);
    AskStep(name, step == 0 ? "sequence_start" : "");
    ExpectAnswer(name, {1, 2}, "exact");
  }
  ASSERT_EQ(asked.size(), 6U) << "no parity, no copies";
  EXPECT_THAT(asked, ::testing::Each(asked[0]));
  EXPECT_THAT(bodies[0], HasSubstr(R"("sequence_id":7,"sequence_start":true)"));
  EXPECT_EQ(Metric("parm_sequences_open"), 1);
  EXPECT_EQ(Metric("parm_sequence_requests_total{outcome=\"answered\"}"), 6);
  PARM_ASSERT_OK_AND_ASSIGN(const auto statistics,
                            frontend_->Statistics("m", ""));
  EXPECT_EQ(statistics[0].success.count, 6U);
  EXPECT_EQ(statistics[0].inferences, 6U);
  // Its server dies with a step on it and one behind that.
  std::optional<Peer> held;
  servers_[asked[0]]->on_infer = [&](const Request&, const Peer& peer) {
    held = peer;
  };
  AskStep("with it", "");
  AskStep("behind", "");
  ASSERT_TRUE(RunUntil([&] { return held.has_value(); }));
  const std::string url = servers_[asked[0]]->url();
  held.reset();
  servers_[asked[0]].reset();
  for (const char* name : {"with it", "behind"}) {
    EXPECT_THAT(ReplyOf(name).status, StatusIs(absl::StatusCode::kUnavailable));
  }
  ASSERT_TRUE(RunUntil([&] { return !IsUp(url); }));
  AskStep("after", "");
  EXPECT_THAT(ReplyOf("after").status,
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("the server that had sequence 7 is gone")));
  EXPECT_EQ(ReplyOf("after").retry_after_s, 1);
  AskStep("anew", "sequence_start");
  ExpectAnswer("anew", {1, 2}, "exact");
  EXPECT_NE(asked.back(), asked[0]);
  AskStep("last", "sequence_end");
  ExpectAnswer("last", {1, 2}, "exact");
  EXPECT_EQ(Metric("parm_sequences_open"), 0);
}

TEST_F(ModelServersTest, EndsAStepAtItsDeadline) {
  Start("    deadline: 50ms\n");
  for (const auto& server : servers_) {
    server->on_infer = [](const Request&, const Peer&) {};
  }
  AskStep("late", "sequence_start");
  EXPECT_THAT(ReplyOf("late").status,
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(ModelServersTest, TriesElsewhereWhatAServerSpoils) {
  Start(kNone);
  const std::string whole = BinaryAnswer(BytesOf({1, 2}));
  int n = 0;
  for (const std::string& bytes :
       {std::string(), whole.substr(0, whole.size() - 1),
        std::string("HTTP/1.0 200 OK\r\n\r\n{\"error\":\"x\"}"),
        BinaryAnswer(BytesOf({1, 2}), "1", "[2,1]"),
        BinaryAnswer(BytesOf({1, 2}), "1", "[1,2]", "INT32"),
        BinaryAnswer(BytesOf({1, 2, 3}), "1", "[1,3]"),
        std::string("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")}) {
    SCOPED_TRACE(bytes);
    NextTaskMeets([&](const Request&, const Peer& peer) {
      if (!bytes.empty()) peer.Send(bytes);
      peer.Close();
    });
    const std::string name = absl::StrCat("query ", ++n);
    Ask(name, {1, 2});
    ExpectAnswer(name, {1, 2}, "exact");
  }
  // Where nothing came on a warm connection, the same server is asked again; a
  // connection whose end has not been heard of may cost a query one more try.
  EXPECT_THAT(Metric("parm_tasks_redispatched_total") +
                  Metric("parm_server_connections_total{event=\"resent\"}"),
              AllOf(Ge(n), Le(2 * n)));
}

TEST_F(ModelServersTest, HandsOnWhatAServerRefuses) {
  Start(kNone);
  struct Case {
    const char* http;
    absl::StatusCode code;
  };
  int n = 0;
  for (const Case& c : {Case{"400 X", absl::StatusCode::kInvalidArgument},
                        {"413 X", absl::StatusCode::kOutOfRange},
                        {"403 X", absl::StatusCode::kPermissionDenied},
                        {"501 X", absl::StatusCode::kUnimplemented}}) {
    SCOPED_TRACE(c.http);
    NextTaskMeets([&](const Request&, const Peer& peer) {
      peer.Send(
          absl::StrCat("HTTP/1.1 ", c.http,
                       "\r\nContent-Length: 15\r\n\r\n{\"error\":\"why\"}"));
    });
    const std::string name = absl::StrCat("query ", ++n);
    Ask(name, {1, 2});
    EXPECT_THAT(ReplyOf(name).status, StatusIs(c.code, HasSubstr("why")));
  }
  EXPECT_EQ(Metric("parm_tasks_redispatched_total"), 0);
}

TEST_F(ModelServersTest, LosesNothingWithAServerThatDies) {
  Start(kNone);
  std::optional<size_t> asked;
  for (size_t i = 0; i < servers_.size(); ++i) {
    servers_[i]->on_infer = [&, i](const Request& request, const Peer& peer) {
      if (asked.has_value()) return peer.Send(AnswerTo(request));
      asked = i;
    };
  }
  Ask("a", {1, 2});
  ASSERT_TRUE(RunUntil([&] { return asked.has_value(); }));
  const std::string url = servers_[*asked]->url();
  servers_[*asked].reset();
  ExpectAnswer("a", {1, 2}, "exact");
  ASSERT_TRUE(RunUntil([&] { return !IsUp(url); }));
  Ask("b", {3, 4});
  ExpectAnswer("b", {3, 4}, "exact");
  EXPECT_EQ(Metric("parm_server_events_total{event=\"lost\"}"), 1);
}

TEST_F(ModelServersTest, DecodesWithTheParityOfAnotherServer) {
  Start(kCoded, deployed_.directory, parity_.directory);
  EXPECT_EQ(Metric("parm_server_lineage_checks_total{result=\"passed\"}"), 2);
  std::optional<Peer> held;
  NextTaskMeets([&](const Request&, const Peer& peer) { held = peer; });
  Ask("a", {1, 2});
  ASSERT_TRUE(RunUntil([&] { return held.has_value(); }));
  Ask("b", {3, -4});
  ExpectAnswer("b", {3, -4}, "exact");
  ExpectAnswer("a", {1, 2}, "reconstructed");
}

TEST_F(ModelServersTest, DecodesWithTheParityOfAWorker) {
  FakeWorker worker;
  Start(kCoded, deployed_.directory, "", worker.endpoint());
  wire::Envelope hello;
  hello.mutable_hello()->set_worker_id("p");
  hello.mutable_hello()->set_instance_nonce(5);
  hello.mutable_hello()->set_lanes(1);
  *hello.mutable_hello()->add_bundles() = ToBundleInfo(parity_);
  hello.mutable_hello()->mutable_bundles(0)->set_model("m");
  ASSERT_TRUE(RunUntil([&] {
    if (const auto message = worker.Receive()) {
      worker.Send(message->peer, hello);
    }
    return IsUp(worker.endpoint());
  }));
  std::optional<Peer> held;
  NextTaskMeets([&](const Request&, const Peer& peer) { held = peer; });
  Ask("a", {1, 2});
  ASSERT_TRUE(RunUntil([&] { return held.has_value(); }));
  Ask("b", {3, -4});
  std::optional<FakeWorker::Message> task;
  ASSERT_TRUE(RunUntil([&] {
    task = worker.Receive();
    return task.has_value() && task->envelope.has_infer();
  }));
  EXPECT_EQ(FloatsOf(task->frames.at(0)), (std::vector<float>{4, -2}));
  wire::Envelope answer;
  wire::Reply& reply = *answer.mutable_reply();
  reply.set_task_id(task->envelope.infer().task_id());
  reply.set_instance_nonce(5);
  reply.set_status(wire::OK);
  *reply.add_tensors() = ToBundleInfo(parity_).outputs(0);
  reply.mutable_tensors(0)->set_shape(0, 1);
  worker.Send(task->peer, answer, {BytesOf(LinearOutput(kModel, {4, -2}))});
  ExpectAnswer("a", {1, 2}, "reconstructed");
}

TEST_F(ModelServersTest, FollowsAFileOfEndpoints) {
  for (int i = 0; i < 3; ++i) {
    servers_.push_back(std::make_unique<FakeModelServer>(loop_));
    servers_.back()->on_infer = answer_;
  }
  const std::string path = scratch_ / "servers.txt";
  WriteFile(path, servers_[0]->url());
  PARM_ASSERT_OK_AND_ASSIGN(
      FrontendOptions options,
      ParseFrontendConfig("workers: [{endpoints_file: servers.txt}]\n"
                          "models: [{name: m, deadline: 60s}]\n"
                          "health: {heartbeat_timeout: 60s}\n",
                          scratch_ / "f.yaml"));
  options.oip.heartbeat_interval = Milliseconds(2);
  options.oip.watch_interval = Milliseconds(1);
  PARM_ASSERT_OK_AND_ASSIGN(frontend_,
                            FrontendLoop::Create(loop_, std::move(options)));
  ASSERT_TRUE(RunUntil([&] { return IsUp(servers_[0]->url()); }));
  std::optional<Peer> held;
  servers_[0]->on_infer = [&](const Request&, const Peer& peer) {
    held = peer;
  };
  Ask("old", {1, 2});
  ASSERT_TRUE(RunUntil([&] { return held.has_value(); }));
  WriteFile(path, absl::StrCat(servers_[1]->url(), "\n", servers_[2]->url()));
  ASSERT_TRUE(RunUntil([&] {
    return IsUp(servers_[1]->url()) && IsUp(servers_[2]->url()) &&
           Metric(absl::StrCat("parm_worker_state{worker=\"",
                               servers_[0]->url(), "\",state=\"draining\"}")) ==
               1;
  }));
  Ask("a", {3, 4});
  Ask("b", {5, 6});
  ExpectAnswer("a", {3, 4}, "exact");
  ExpectAnswer("b", {5, 6}, "exact");
  held->Send(BinaryAnswer(BytesOf(LinearOutput(kModel, {1, 2}))));
  ExpectAnswer("old", {1, 2}, "exact");
  ASSERT_TRUE(RunUntil([&] {
    return Metric("parm_server_set_changes_total{event=\"left\"}") == 1;
  }));
  EXPECT_THAT(frontend_->MetricsText(),
              Not(HasSubstr(absl::StrCat(servers_[0]->url(), "\""))));
  EXPECT_EQ(Metric("parm_worker_events_total{event=\"lost\"}"), 0);
  EXPECT_EQ(Metric("parm_tasks_redispatched_total"), 0);
  // Whatever is wrong with the file, they serve on.
  WriteFile(path, "http://\n");
  ASSERT_TRUE(RunUntil([&] {
    return Metric("parm_endpoints_files_total{outcome=\"refused\"}") == 1;
  }));
  Ask("c", {7, 8});
  ExpectAnswer("c", {7, 8}, "exact");
}

TEST_F(ModelServersTest, CodesNoMoreForAModelThatIsReplaced) {
  bundle_check_interval_ = Milliseconds(4);
  Start(kCoded, deployed_.directory, parity_.directory);
  EXPECT_EQ(Metric("parm_server_lineage_checks_total{result=\"passed\"}"), 2);
  for (const auto& server : {servers_[0].get(), servers_[1].get()}) {
    server->on_infer = [](const Request& request, const Peer& peer) {
      std::vector<float> output = LinearOutput(
          kModel, FloatsOf(request.body.substr(request.body.size() - 8)));
      output[1] += 1;
      peer.Send(BinaryAnswer(BytesOf(output)));
    };
  }
  ASSERT_TRUE(RunUntil([&] {
    return Metric("parm_server_lineage_checks_total{result=\"failed\"}") == 2;
  }));
  EXPECT_EQ(Metric("parm_server_bundle_checks_total{result=\"changed\"}"), 2);
  ASSERT_TRUE(RunUntil([&] {
    return Metric("parm_bundles_refused_total{reason=\"lineage\"}") == 1;
  }));
  Ask("a", {1, 2});
  ASSERT_THAT(ReplyOf("a").status, IsOk());
  EXPECT_EQ(ReplyOf("a").source, "exact");
}

TEST_F(ModelServersTest, CodesNothingForAModelThatIsNotTheBundles) {
  // Off by a little: another training run of the same model.
  const auto other = [](const std::vector<float>& values) {
    std::vector<float> output = LinearOutput(kModel, values);
    output[1] += 1;
    return output;
  };
  answer_ = [&](const Request& request, const Peer& peer) {
    peer.Send(BinaryAnswer(BytesOf(
        other(FloatsOf(request.body.substr(request.body.size() - 8))))));
  };
  Start(kCoded, deployed_.directory, parity_.directory);
  EXPECT_EQ(Metric("parm_server_lineage_checks_total{result=\"failed\"}"), 2);
  EXPECT_EQ(Metric("parm_bundles_refused_total{reason=\"lineage\"}"), 1);
  Ask("a", {1, 2});
  ASSERT_THAT(ReplyOf("a").status, IsOk());
  const auto bytes = ReplyOf("a").response.outputs[0].data.bytes();
  EXPECT_THAT(
      FloatsOf({reinterpret_cast<const char*>(bytes.data()), bytes.size()}),
      ElementsAreArray(other({1, 2})));
}

}  // namespace
}  // namespace parm
