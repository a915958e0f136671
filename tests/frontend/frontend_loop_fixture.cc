#include "tests/frontend/frontend_loop_fixture.h"

#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/support/infer_client.h"
#include "tests/support/matchers.h"
#include "tests/support/run_loop.h"

namespace parm {
namespace {

bool IsParity(char id) {
  return id == kParity || id == kSecondParity || id == kPackParity;
}

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
    const CodeSpec made_for =
        id == kPackParity ? CodeSpec{.scheme = "pack", .k = 2} : code;
    wire::Code& lineage = *info.mutable_lineage()->mutable_code();
    lineage.set_scheme(made_for.scheme);
    lineage.set_k(static_cast<uint32_t>(made_for.k));
    lineage.set_r(static_cast<uint32_t>(made_for.r));
    info.set_relative_cost(1);
    info.set_deployed_accuracy(0.9);
    info.add_degraded_accuracy(id == kPackParity ? 0.89 : 0.8);
    wire::CalibrationBin* bin = info.add_calibration();
    bin->set_probability_right(0.25);
    bin = info.add_calibration();
    bin->set_margin_at_least(1.5);
    bin->set_probability_right(0.75);
  }
  return info;
}

}  // namespace

std::string BytesOf(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()),
          values.size() * sizeof(float)};
}

std::vector<float> FloatsOf(absl::Span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

oip::InferRequest RequestOf(const std::vector<float>& values,
                            oip::Parameters parameters) {
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

void FrontendLoopFixture::Start(const std::vector<std::string>& ids,
                                const std::string& model,
                                const std::string& more) {
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

void FrontendLoopFixture::SayHello(size_t worker, const std::string& ids,
                                   uint64_t nonce) {
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

wire::Envelope FrontendLoopFixture::HelloOf(size_t worker,
                                            const std::string& ids,
                                            uint64_t nonce) {
  wire::Envelope envelope;
  wire::Hello& hello = *envelope.mutable_hello();
  hello.set_worker_id(absl::StrCat("w", worker));
  hello.set_instance_nonce(nonce);
  hello.set_lanes(1);
  hello.set_max_message_bytes(max_message_bytes_);
  for (const char id : ids) {
    wire::BundleInfo& info = *hello.add_bundles();
    info = BundleOf(id, code_);
    const auto pattern = patterns_.find(id);
    if (pattern != patterns_.end()) {
      *info.add_pattern_calibration() = pattern->second;
    }
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

bool FrontendLoopFixture::IsUp(size_t worker) {
  return Metric(absl::StrCat("parm_worker_state{worker=\"",
                             workers_[worker]->endpoint(),
                             "\",state=\"up\"}")) == 1;
}

bool FrontendLoopFixture::RunUntil(const std::function<bool()>& done) {
  return RunLoopUntil(loop_, done);
}

FakeWorker::Message FrontendLoopFixture::Next(size_t worker) {
  std::optional<FakeWorker::Message> message;
  EXPECT_TRUE(RunUntil([&] {
    message = workers_[worker]->Receive();
    return message.has_value();
  }));
  return message.value_or(FakeWorker::Message{});
}

std::pair<size_t, FakeWorker::Message> FrontendLoopFixture::NextTask() {
  std::pair<size_t, FakeWorker::Message> task;
  EXPECT_TRUE(RunUntil([&] {
    for (size_t i = 0; i < workers_.size(); ++i) {
      if (workers_[i] == nullptr) continue;  // the test has killed it
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

wire::Envelope FrontendLoopFixture::ReplyTo(const FakeWorker::Message& task,
                                            const std::vector<int64_t>& shape) {
  wire::Envelope envelope;
  wire::Reply& reply = *envelope.mutable_reply();
  reply.set_task_id(task.envelope.infer().task_id());
  reply.set_instance_nonce(5);
  reply.set_status(wire::OK);
  *reply.add_tensors() = Spec("y", shape);
  return envelope;
}

void FrontendLoopFixture::Answer(size_t worker, const FakeWorker::Message& task,
                                 const std::vector<float>& values) {
  workers_[worker]->Send(
      peers_[worker],
      ReplyTo(task, {static_cast<int64_t>(values.size()) / 2, 2}),
      {BytesOf(values)});
}

QueryHandle FrontendLoopFixture::Ask(const std::string& name,
                                     oip::InferRequest request) {
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

const QueryReply& FrontendLoopFixture::ReplyOf(const std::string& name) {
  EXPECT_TRUE(RunUntil([&] { return replies_.count(name) == 1; }));
  return replies_[name];
}

std::vector<float> FrontendLoopFixture::ValuesOf(const std::string& name) {
  const QueryReply& reply = ReplyOf(name);
  EXPECT_THAT(reply.status, IsOk());
  if (reply.response.outputs.empty()) return {};
  return FloatsOf(reply.response.outputs[0].data.bytes());
}

double FrontendLoopFixture::Metric(const std::string& name) {
  return MetricValue("\n" + frontend_->MetricsText(), name);
}

}  // namespace parm
