// The whole path with real models: parm-train learns a classifier of pictures
// and its parity model, parm-workers serve what it wrote, and a parm-frontend
// answers for them, also for a worker that hangs.

#include <signal.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "encoder/code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/dataset.h"
#include "parity_trainer/deployed_model.h"
#include "parity_trainer/group_encoder.h"
#include "parity_trainer/model_runner.h"
#include "parity_trainer/npy.h"
#include "tests/e2e/cluster.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::FloatNear;
using ::testing::Pointwise;
using Serves = Cluster::Serves;

constexpr char kFashionMnist[] = "idx:/usr/share/datasets/fashion-mnist";
constexpr int64_t kPictures = 24;
// Pictures 2 i and 2 i + 1 arrive one after the other: a group.
constexpr int64_t kCodedPictures = 8;

// Logits of one picture of a batch [pictures, classes].
std::vector<float> Row(const HostTensor& logits, int64_t row) {
  const HostTensor slice = SliceRows(logits, row, 1);
  return {slice.floats().begin(), slice.floats().end()};
}

struct Case {
  std::string scheme;
  std::string arch;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.scheme; }

class TrainedModelsTest : public testing::TestWithParam<Case> {
 protected:
  TrainedModelsTest() : cluster_("fashion", "parm-worker") {}

  void SetUp() override {
    Train({"deployed", "--arch", GetParam().arch, "--limit-train", "500",
           "--limit-test", "64", "--epochs", "1", "--name", "fashion", "--out",
           "deployed"});
    Train({"parity", "--deployed", "deployed", "--scheme", GetParam().scheme,
           "--k", "2", "--limit-train", "500", "--limit-test", "64", "--epochs",
           "1", "--out", "parity"});
    Train({"evaluate", "--deployed", "deployed", "--limit-test",
           absl::StrCat(kPictures), "--logits", "logits.npy"});
    DatasetOptions options{.source = kFashionMnist, .with_train = false};
    options.limit_test = kPictures;
    PARM_ASSERT_OK_AND_ASSIGN(data_, LoadDataset(options));
    PARM_ASSERT_OK_AND_ASSIGN(
        logits_,
        ReadNpy(cluster_.directory() / "logits.npy", /*max_bytes=*/1 << 20));
    ASSERT_EQ(logits_.shape, (std::vector<int64_t>{kPictures, 10}));
  }

  // What --deployed, --out and --logits name lies in the cluster's folder.
  void Train(std::vector<std::string> arguments) {
    const std::string log = cluster_.directory() / "train.log";
    for (size_t i = 1; i < arguments.size(); ++i) {
      const std::string& option = arguments[i - 1];
      if (option == "--deployed" || option == "--out" || option == "--logits") {
        arguments[i] = cluster_.directory() / arguments[i];
      }
    }
    arguments.insert(arguments.begin(), ProgramPath("parm-train"));
    arguments.insert(arguments.end(),
                     {"--data", kFashionMnist, "--threads", "1"});
    PARM_ASSERT_OK_AND_ASSIGN(const auto process,
                              Process::Start(arguments, log));
    PARM_ASSERT_OK_AND_ASSIGN(const int status, process->Wait());
    ASSERT_EQ(status, 0) << process->Log();
  }

  oip::Tensor Picture(int64_t index) const {
    const HostTensor picture = GatherSamples(
        data_, data_.test, absl::MakeConstSpan(&index, 1), DataType::kFp32);
    return {.spec = {.name = "input",
                     .datatype = DataType::kFp32,
                     .shape = picture.shape},
            .data = Buffer::FromString(picture.bytes)};
  }

  // What a frontend must make of the parity model's answer for the group of
  // picture `lost` and the deployed model's for the other one in it.
  void Reconstruct(int64_t lost, std::vector<float>* want) {
    const int64_t first = lost - lost % 2;
    PARM_ASSERT_OK_AND_ASSIGN(const Bundle bundle,
                              LoadBundle(cluster_.directory() / "parity"));
    PARM_ASSERT_OK_AND_ASSIGN(const std::string bytes,
                              ReadModelFile(bundle.model_path));
    PARM_ASSERT_OK_AND_ASSIGN(const ModelRunner model,
                              ModelRunner::Create(bytes));
    PARM_ASSERT_OK_AND_ASSIGN(
        const auto code, CreateCode({.scheme = GetParam().scheme, .k = 2}));
    PARM_ASSERT_OK_AND_ASSIGN(
        const HostTensor query,
        EncodeGroups(*code, /*parity_index=*/0, data_, data_.test,
                     {{first, first + 1}}, DataType::kFp32));
    PARM_ASSERT_OK_AND_ASSIGN(const HostTensor parity, model.Run(query));
    const HostTensor sibling = SliceRows(logits_, lost ^ 1, 1);
    std::vector<std::optional<TensorView>> outputs(3, std::nullopt);
    outputs[static_cast<size_t>((lost ^ 1) % 2)] = sibling.view();
    outputs[2] = parity.view();
    HostTensor result = sibling;
    ASSERT_THAT(code->Decode(/*num_members=*/2, outputs,
                             static_cast<int>(lost % 2), result.mutable_view()),
                IsOk());
    *want = Row(result, 0);
  }

  double Answers(const ClusterFrontend& frontend, const std::string& source) {
    return MetricValue(
        Cluster::Metrics(frontend),
        absl::StrCat("parm_queries_total{model=\"fashion\",source=\"", source,
                     "\"}"));
  }

  Cluster cluster_;
  Dataset data_;
  HostTensor logits_;
};

TEST_P(TrainedModelsTest, ServesAndReconstructsWhatWasTrained) {
  if (HasFatalFailure()) return;
  cluster_.AddWorker(Serves::kDeployed);
  cluster_.AddWorker(Serves::kDeployed);
  cluster_.AddWorker(Serves::kParity);
  cluster_.StartWorkers();
  // Groups close by their members, reconstructions leave at once, and a busy
  // machine misses no deadline.
  const ClusterFrontend frontend = cluster_.StartFrontend(
      absl::StrCat("    deadline: 50s\n"
                   "    redundancy:\n"
                   "      policy: coded\n"
                   "      code: {scheme: ",
                   GetParam().scheme,
                   ", k: 2, r: 1}\n"
                   "      group: {timeout: 20s}\n"
                   "      decode: {trigger: {quantile: 0}}\n"));
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(
        Cluster::WaitForMetric(frontend, cluster_.StateMetric(i, "up"), 1));
  }

  // One connection, so that the pictures arrive, and join groups, in order.
  InferClient client(frontend.http_port);
  cluster_.SignalWorker(0, SIGSTOP);
  for (int64_t i = 0; i < kCodedPictures; ++i) {
    client.Send("fashion", Picture(i));
  }
  int num_reconstructed = 0;
  for (int64_t i = 0; i < kCodedPictures; ++i) {
    const InferAnswer answer = client.Receive();
    ASSERT_EQ(answer.status, 200) << answer.error;
    if (answer.source == "exact") {
      EXPECT_THAT(answer.values, Pointwise(FloatNear(1e-4F), Row(logits_, i)));
      continue;
    }
    ASSERT_EQ(answer.source, "reconstructed");
    ++num_reconstructed;
    std::vector<float> want;
    Reconstruct(/*lost=*/i, &want);
    EXPECT_THAT(answer.values, Pointwise(FloatNear(1e-3F), want));
  }
  EXPECT_GT(num_reconstructed, 0);
  cluster_.SignalWorker(0, SIGCONT);

  for (int64_t i = 0; i < kPictures; ++i) {
    client.Send("fashion", Picture(i), {{"parm_mode", "exact"}});
    const InferAnswer answer = client.Receive();
    ASSERT_EQ(answer.status, 200) << answer.error;
    EXPECT_EQ(answer.source, "exact");
    EXPECT_THAT(answer.values, Pointwise(FloatNear(1e-4F), Row(logits_, i)));
  }
  EXPECT_EQ(Answers(frontend, "reconstructed"), num_reconstructed);
  EXPECT_EQ(Answers(frontend, "exact"),
            kCodedPictures + kPictures - num_reconstructed);
}

INSTANTIATE_TEST_SUITE_P(
    TrainedSchemes, TrainedModelsTest,
    testing::Values(Case{"sum", "mlp"}, Case{"concat", "cnn"},
                    Case{"tile", "cnn"}, Case{"stack", "cnn"}),
    [](const auto& instance) { return instance.param.scheme; });

}  // namespace
}  // namespace parm
