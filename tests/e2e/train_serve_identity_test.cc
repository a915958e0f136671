// The parity query that a frontend sends is the one that the trainer learns
// from: real pictures go over HTTP into a running parm-frontend, and what it
// sends to the parity worker is compared with the trainer's own encoding.

#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "encoder/code.h"
#include "gtest/gtest.h"
#include "parity_trainer/dataset.h"
#include "parity_trainer/group_encoder.h"
#include "proto/oip/infer_request_codec.h"
#include "proto/wire_codec.h"
#include "tests/frontend/upstream/fake_worker.h"
#include "tests/support/matchers.h"
#include "tests/support/process.h"
#include "tests/support/raw_http_client.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

constexpr char kFashionMnist[] = "idx:/usr/share/datasets/fashion-mnist";
constexpr int64_t kClasses = 10;

struct IdentityCase {
  std::string scheme;
  int k;
  DataType datatype;
};

void PrintTo(const IdentityCase& c, std::ostream* out) {
  *out << c.scheme << " k=" << c.k << " " << DataTypeName(c.datatype);
}

wire::TensorSpec Spec(const std::string& name, DataType datatype,
                      std::vector<int64_t> shape) {
  return wire::ToWire(
      {.name = name, .datatype = datatype, .shape = std::move(shape)});
}

// One worker that serves the deployed and the parity bundle, answers deployed
// tasks with zeros, and keeps the parity query.
class CapturingWorker {
 public:
  explicit CapturingWorker(const IdentityCase& c) : case_(c) {}

  const std::string& endpoint() const { return worker_.endpoint(); }

  /// Serves until a parity query came, or false after a generous while.
  bool ServeUntilParity() {
    const auto give_up = std::chrono::steady_clock::now() + Process::kPatience;
    while (!parity_frame) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      const std::optional<FakeWorker::Message> message = worker_.Receive();
      if (message) Answer(*message);
    }
    return true;
  }

  bool said_hello() const { return said_hello_; }
  void ServeOnce() {
    if (const auto message = worker_.Receive()) Answer(*message);
  }

  std::optional<std::string> parity_frame;
  TensorSpec parity_spec;

 private:
  void Answer(const FakeWorker::Message& message) {
    if (message.envelope.has_hello_request()) {
      worker_.Send(message.peer, Hello());
      said_hello_ = true;
    } else if (message.envelope.has_heartbeat_request()) {
      wire::Envelope envelope;
      envelope.mutable_heartbeat()->set_instance_nonce(kNonce);
      worker_.Send(message.peer, envelope);
    } else if (message.envelope.has_infer()) {
      const wire::Infer& infer = message.envelope.infer();
      if (infer.bundle_sha256() == kParitySha) {
        parity_frame = message.frames.at(0);
        parity_spec = wire::FromWire(infer.tensors(0));
        return;
      }
      wire::Envelope envelope;
      wire::Reply* reply = envelope.mutable_reply();
      reply->set_task_id(infer.task_id());
      reply->set_instance_nonce(kNonce);
      reply->set_status(wire::OK);
      *reply->add_tensors() = Spec("logits", DataType::kFp32, {1, kClasses});
      worker_.Send(message.peer, envelope,
                   {std::string(kClasses * sizeof(float), '\0')});
    }
  }

  wire::Envelope Hello() const {
    wire::Envelope envelope;
    wire::Hello* hello = envelope.mutable_hello();
    hello->set_worker_id("capturing");
    hello->set_fault_domain("capturing");
    hello->set_instance_nonce(kNonce);
    hello->set_lanes(8);
    for (const wire::Role role : {wire::DEPLOYED, wire::PARITY}) {
      wire::BundleInfo* bundle = hello->add_bundles();
      bundle->set_sha256(role == wire::PARITY ? kParitySha : kDeployedSha);
      bundle->set_model("fashion");
      bundle->set_version("1");
      bundle->set_role(role);
      const TensorSpec input = {.name = "pixels",
                                .datatype = case_.datatype,
                                .shape = {-1, 1, 28, 28}};
      const TensorSpec output = {.name = "logits",
                                 .datatype = DataType::kFp32,
                                 .shape = {-1, kClasses}};
      if (role == wire::DEPLOYED) {
        *bundle->add_inputs() = wire::ToWire(input);
        *bundle->add_outputs() = wire::ToWire(output);
        continue;
      }
      const std::unique_ptr<const Code> coder =
          *CreateCode({.scheme = case_.scheme, .k = case_.k});
      *bundle->add_inputs() =
          wire::ToWire(*coder->ParityQuerySpec(input, case_.k));
      *bundle->add_outputs() = wire::ToWire(*coder->ParityOutputSpec(output));
      bundle->mutable_lineage()->set_deployed_sha256(kDeployedSha);
      wire::Code* code = bundle->mutable_lineage()->mutable_code();
      code->set_scheme(case_.scheme);
      code->set_k(static_cast<uint32_t>(case_.k));
      code->set_r(1);
    }
    return envelope;
  }

  static constexpr uint64_t kNonce = 77;
  inline static const std::string kDeployedSha = std::string(32, 'd');
  inline static const std::string kParitySha = std::string(32, 'p');

  const IdentityCase case_;
  FakeWorker worker_;
  bool said_hello_ = false;
};

std::string HttpRequest(DataType datatype, const HostTensor& picture) {
  oip::InferRequest request;
  request.binary_outputs = true;
  request.inputs.push_back(
      {.spec = {.name = "pixels", .datatype = datatype, .shape = picture.shape},
       .data = Buffer::FromString(picture.bytes)});
  const auto encoded = oip::WriteInferRequest(request, /*binary_inputs=*/true);
  if (!encoded.ok()) return "";
  const oip::Body body = oip::Flatten(*encoded);
  return absl::StrCat(
      "POST /v2/models/fashion/infer HTTP/1.1\r\nHost: test\r\n"
      "Content-Length: ",
      encoded->TotalBytes(),
      "\r\nInference-Header-Content-Length: ", encoded->json.size(), "\r\n\r\n",
      absl::string_view(
          reinterpret_cast<const char*>(body.storage.bytes().data()),
          body.size));
}

class TrainServeIdentityTest : public testing::TestWithParam<IdentityCase> {};

TEST_P(TrainServeIdentityTest, FrontendSendsTheTrainersParityQuery) {
  const IdentityCase& c = GetParam();
  DatasetOptions options{.source = kFashionMnist, .with_train = false};
  options.limit_test = 64;
  PARM_ASSERT_OK_AND_ASSIGN(const Dataset data, LoadDataset(options));
  PARM_ASSERT_OK_AND_ASSIGN(const auto code,
                            CreateCode({.scheme = c.scheme, .k = c.k}));
  std::vector<int64_t> members;
  for (int i = 0; i < c.k; ++i) members.push_back(7 * i + 3);
  PARM_ASSERT_OK_AND_ASSIGN(const HostTensor want,
                            EncodeGroups(*code, /*parity_index=*/0, data,
                                         data.test, members, c.datatype));

  CapturingWorker worker(c);
  const ScratchDirectory scratch;
  const std::string config = scratch / "frontend.yaml";
  WriteFile(config, absl::StrCat("workers: [{endpoint: \"", worker.endpoint(),
                                 "\"}]\nhealth: {heartbeat_timeout: 60s}\n"
                                 "models:\n  - name: fashion\n"
                                 "    deadline: 60s\n"
                                 "    redundancy: {policy: coded, group: "
                                 "{timeout: 30s}, code: {scheme: ",
                                 c.scheme, ", k: ", c.k, "}}\n"));
  PARM_ASSERT_OK_AND_ASSIGN(
      const auto frontend,
      Process::Start({ProgramPath("parm-frontend"), "--config", config,
                      "--http-port", "0", "--metrics-port", "0"},
                     scratch / "log"));
  PARM_ASSERT_OK_AND_ASSIGN(const std::string ready,
                            frontend->WaitForLine("parm-frontend ready"));
  const std::string address = FieldOf(ready, "http");
  const auto port =
      static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  const auto give_up = std::chrono::steady_clock::now() + Process::kPatience;
  while (!worker.said_hello() && std::chrono::steady_clock::now() < give_up) {
    worker.ServeOnce();
  }
  RawHttpClient health(port);
  while (
      health.Ask("GET /v2/health/ready HTTP/1.1\r\nHost: t\r\n\r\n").status !=
          200 &&
      std::chrono::steady_clock::now() < give_up) {
    worker.ServeOnce();
  }

  // One connection, so that the pictures arrive, and join the group, in order.
  RawHttpClient client(port);
  for (const int64_t member : members) {
    const HostTensor picture = GatherSamples(
        data, data.test, absl::MakeConstSpan(&member, 1), c.datatype);
    ASSERT_TRUE(client.Send(HttpRequest(c.datatype, picture)));
  }
  ASSERT_TRUE(worker.ServeUntilParity()) << frontend->Log();

  EXPECT_EQ(worker.parity_spec.datatype, c.datatype);
  EXPECT_EQ(worker.parity_spec.shape, want.shape);
  ASSERT_EQ(worker.parity_frame->size(), want.bytes.size());
  if (c.datatype == DataType::kUint8) {
    EXPECT_EQ(*worker.parity_frame, want.bytes);
    return;
  }
  std::vector<float> got(want.floats().size());
  std::memcpy(got.data(), worker.parity_frame->data(), want.bytes.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], want.floats()[i], 1e-5) << "pixel " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    SystematicCodes, TrainServeIdentityTest,
    testing::Values(IdentityCase{"sum", 2, DataType::kFp32},
                    IdentityCase{"sum", 4, DataType::kFp32},
                    IdentityCase{"sum", 2, DataType::kUint8},
                    IdentityCase{"sum", 3, DataType::kUint8},
                    IdentityCase{"pack", 4, DataType::kFp32},
                    IdentityCase{"pack", 2, DataType::kUint8},
                    IdentityCase{"concat", 2, DataType::kFp32},
                    IdentityCase{"concat", 4, DataType::kUint8},
                    IdentityCase{"tile", 2, DataType::kUint8},
                    IdentityCase{"tile", 3, DataType::kFp32},
                    IdentityCase{"tile", 4, DataType::kFp32},
                    IdentityCase{"stack", 2, DataType::kFp32},
                    IdentityCase{"stack", 4, DataType::kUint8}));

}  // namespace
}  // namespace parm
