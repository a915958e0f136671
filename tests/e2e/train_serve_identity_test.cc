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
  CodeSpec code;
  DataType datatype;
  int64_t rows = 1;  // pictures of each query
};

void PrintTo(const IdentityCase& c, std::ostream* out) {
  *out << ToString(c.code) << " " << DataTypeName(c.datatype)
       << " rows=" << c.rows;
}

wire::TensorSpec Spec(const std::string& name, DataType datatype,
                      std::vector<int64_t> shape) {
  return wire::ToWire(
      {.name = name, .datatype = datatype, .shape = std::move(shape)});
}

// One worker that serves the deployed and the parity bundles, answers deployed
// tasks with zeros, and keeps the parity queries.
class CapturingWorker {
 public:
  explicit CapturingWorker(const IdentityCase& c) : case_(c) {}

  const std::string& endpoint() const { return worker_.endpoint(); }

  /// Serves until every parity query came, or false after a generous while.
  bool ServeUntilParities() {
    const auto give_up = std::chrono::steady_clock::now() + Process::kPatience;
    while (parities.size() < static_cast<size_t>(case_.code.r)) {
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

  struct ParityQuery {
    TensorSpec spec;
    std::string bytes;
  };
  std::map<int, ParityQuery> parities;  // by parity index

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
      for (int i = 0; i < case_.code.r; ++i) {
        if (infer.bundle_sha256() != ParitySha(i)) continue;
        parities[i] = {.spec = wire::FromWire(infer.tensors(0)),
                       .bytes = message.frames.at(0)};
        return;
      }
      wire::Envelope envelope;
      wire::Reply* reply = envelope.mutable_reply();
      reply->set_task_id(infer.task_id());
      reply->set_instance_nonce(kNonce);
      reply->set_status(wire::OK);
      *reply->add_tensors() =
          Spec("logits", DataType::kFp32, {case_.rows, kClasses});
      const int64_t values = case_.rows * kClasses;
      worker_.Send(
          message.peer, envelope,
          {std::string(static_cast<size_t>(values) * sizeof(float), '\0')});
    }
  }

  wire::Envelope Hello() const {
    wire::Envelope envelope;
    wire::Hello* hello = envelope.mutable_hello();
    hello->set_worker_id("capturing");
    hello->set_fault_domain("capturing");
    hello->set_instance_nonce(kNonce);
    hello->set_lanes(8);
    const TensorSpec input = {
        .name = "pixels", .datatype = case_.datatype, .shape = {-1, 1, 28, 28}};
    const TensorSpec output = {
        .name = "logits", .datatype = DataType::kFp32, .shape = {-1, kClasses}};
    AddBundle(kDeployedSha, wire::DEPLOYED, input, output, hello);
    const std::unique_ptr<const Code> coder = *CreateCode(case_.code);
    for (int i = 0; i < case_.code.r; ++i) {
      wire::Lineage* lineage =
          AddBundle(ParitySha(i), wire::PARITY,
                    *coder->ParityQuerySpec(input, case_.code.k),
                    *coder->ParityOutputSpec(output), hello)
              ->mutable_lineage();
      lineage->set_deployed_sha256(kDeployedSha);
      lineage->set_parity_index(static_cast<uint32_t>(i));
      lineage->mutable_code()->set_scheme(case_.code.scheme);
      lineage->mutable_code()->set_k(static_cast<uint32_t>(case_.code.k));
      lineage->mutable_code()->set_r(static_cast<uint32_t>(case_.code.r));
    }
    return envelope;
  }

  static wire::BundleInfo* AddBundle(const std::string& sha256, wire::Role role,
                                     const TensorSpec& input,
                                     const TensorSpec& output,
                                     wire::Hello* hello) {
    wire::BundleInfo* bundle = hello->add_bundles();
    bundle->set_sha256(sha256);
    bundle->set_model("fashion");
    bundle->set_version("1");
    bundle->set_role(role);
    *bundle->add_inputs() = wire::ToWire(input);
    *bundle->add_outputs() = wire::ToWire(output);
    return bundle;
  }
  static std::string ParitySha(int parity_index) {
    return std::string(32, static_cast<char>('p' + parity_index));
  }

  static constexpr uint64_t kNonce = 77;
  inline static const std::string kDeployedSha = std::string(32, 'd');

  const IdentityCase case_;
  FakeWorker worker_;
  bool said_hello_ = false;
};

std::string HttpRequest(DataType datatype, const HostTensor& pictures) {
  oip::InferRequest request;
  request.binary_outputs = true;
  request.inputs.push_back({.spec = {.name = "pixels",
                                     .datatype = datatype,
                                     .shape = pictures.shape},
                            .data = Buffer::FromString(pictures.bytes)});
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

// Bit by bit for bytes, else within 1e-5.
void ExpectEqual(const CapturingWorker::ParityQuery& got,
                 const HostTensor& want) {
  EXPECT_EQ(got.spec.datatype, want.datatype);
  EXPECT_EQ(got.spec.shape, want.shape);
  ASSERT_EQ(got.bytes.size(), want.bytes.size());
  if (want.datatype == DataType::kUint8) {
    EXPECT_EQ(got.bytes, want.bytes);
    return;
  }
  std::vector<float> values(want.floats().size());
  std::memcpy(values.data(), got.bytes.data(), want.bytes.size());
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_NEAR(values[i], want.floats()[i], 1e-5) << "pixel " << i;
  }
}

class TrainServeIdentityTest : public testing::TestWithParam<IdentityCase> {};

TEST_P(TrainServeIdentityTest, FrontendSendsTheTrainersParityQuery) {
  const IdentityCase& c = GetParam();
  DatasetOptions options{.source = kFashionMnist, .with_train = false};
  options.limit_test = 64;
  PARM_ASSERT_OK_AND_ASSIGN(const Dataset data, LoadDataset(options));
  PARM_ASSERT_OK_AND_ASSIGN(const auto code, CreateCode(c.code));
  // The trainer encodes `rows` groups at once: the first picture of every query
  // is the first group, and so on.
  std::vector<int64_t> pictures;
  for (int64_t i = 0; i < c.code.k * c.rows; ++i) pictures.push_back(7 * i + 3);

  CapturingWorker worker(c);
  const ScratchDirectory scratch;
  const std::string config = scratch / "frontend.yaml";
  WriteFile(config, absl::StrCat("workers: [{endpoint: \"", worker.endpoint(),
                                 "\"}]\nhealth: {heartbeat_timeout: 60s}\n"
                                 "models:\n  - name: fashion\n"
                                 "    deadline: 60s\n"
                                 "    batching: {max_batch_size: ",
                                 c.rows,
                                 "}\n"
                                 "    redundancy: {policy: coded, group: "
                                 "{timeout: 30s}, code: {scheme: ",
                                 c.code.scheme, ", k: ", c.code.k,
                                 ", r: ", c.code.r, "}}\n"));
  PARM_ASSERT_OK_AND_ASSIGN(
      const auto frontend,
      Process::Start(
          {ProgramPath("parm-frontend"), "--config", config, "--http-port", "0",
           "--allow-grpc=false", "--metrics-port", "0"},
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
  const auto rows = static_cast<size_t>(c.rows);
  for (size_t first = 0; first < pictures.size(); first += rows) {
    const HostTensor query = GatherSamples(
        data, data.test, absl::MakeConstSpan(pictures).subspan(first, rows),
        c.datatype);
    ASSERT_TRUE(client.Send(HttpRequest(c.datatype, query)));
  }
  ASSERT_TRUE(worker.ServeUntilParities()) << frontend->Log();

  for (int parity_index = 0; parity_index < c.code.r; ++parity_index) {
    SCOPED_TRACE(parity_index);
    PARM_ASSERT_OK_AND_ASSIGN(const HostTensor want,
                              EncodeGroups(*code, parity_index, data, data.test,
                                           pictures, c.datatype));
    ExpectEqual(worker.parities.at(parity_index), want);
  }
}

// Every scheme, with the datatypes and a k or two that it takes.
std::vector<IdentityCase> Cases() {
  std::vector<IdentityCase> cases;
  for (const std::string& scheme : CodeSchemes()) {
    for (const int r : {1, 2}) {
      for (const int k : {2, 3, 4}) {
        const CodeSpec code = {.scheme = scheme, .k = k, .r = r};
        if (!Supports(code)) continue;
        const DataType datatype = k == 3 ? DataType::kUint8 : DataType::kFp32;
        cases.push_back({code, datatype});
        if (k == 2) cases.push_back({code, DataType::kUint8, 2});
        if (k == 4) cases.push_back({code, DataType::kFp32, 2});
      }
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(SystematicCodes, TrainServeIdentityTest,
                         testing::ValuesIn(Cases()));

}  // namespace
}  // namespace parm
