// The whole path with real models: parm-train learns a classifier of pictures
// and its parity models, parm-workers serve what it wrote, and a parm-frontend
// answers for them, also for workers that hang or die.

#include <signal.h>

#include <filesystem>
#include <memory>
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

class TrainedModels : public testing::Test {
 protected:
  TrainedModels() : cluster_("fashion", "parm-worker") {}

  void MakeModels(const CodeSpec& code, const std::string& arch) {
    PARM_ASSERT_OK_AND_ASSIGN(code_, CreateCode(code));
    Train({"deployed", "--arch", arch, "--limit-train", "500", "--limit-test",
           "64", "--epochs", "1", "--name", "fashion", "--out", "deployed"});
    Train({"parity", "--deployed", "deployed", "--scheme", code.scheme, "--k",
           absl::StrCat(code.k), "--r", absl::StrCat(code.r), "--limit-train",
           "500", "--limit-test", "64", "--epochs", "1", "--out", "parity"});
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

  // What parity model `parity_index`, in `directory`, answers for the group of
  // pictures `first` and the next.
  void AskParity(const std::string& directory, int parity_index, int64_t first,
                 HostTensor* answer) {
    PARM_ASSERT_OK_AND_ASSIGN(const Bundle bundle,
                              LoadBundle(cluster_.directory() / directory));
    PARM_ASSERT_OK_AND_ASSIGN(const std::string bytes,
                              ReadModelFile(bundle.model_path));
    PARM_ASSERT_OK_AND_ASSIGN(const ModelRunner model,
                              ModelRunner::Create(bytes));
    PARM_ASSERT_OK_AND_ASSIGN(
        const HostTensor query,
        EncodeGroups(*code_, parity_index, data_, data_.test,
                     {{first, first + 1}}, DataType::kFp32));
    PARM_ASSERT_OK_AND_ASSIGN(*answer, model.Run(query));
  }

  // What a frontend must make of these outputs for member `lost` of two.
  void Decode(const std::vector<std::optional<TensorView>>& outputs,
              int64_t lost, std::vector<float>* want) {
    HostTensor result = SliceRows(logits_, 0, 1);
    ASSERT_THAT(code_->Decode(/*num_members=*/2, outputs,
                              static_cast<int>(lost), result.mutable_view()),
                IsOk());
    *want = Row(result, 0);
  }

  // Groups close by their members, reconstructions leave at once, and a busy
  // machine misses no deadline.
  void StartFrontend(ClusterFrontend* frontend, size_t num_workers) {
    *frontend = cluster_.StartFrontend(
        absl::StrCat("    deadline: 50s\n"
                     "    redundancy:\n"
                     "      policy: coded\n"
                     "      code: {scheme: ",
                     code_->spec().scheme, ", k: 2, r: ", code_->spec().r,
                     "}\n"
                     "      group: {timeout: 20s}\n"
                     "      decode: {trigger: {quantile: 0}}\n"));
    for (size_t i = 0; i < num_workers; ++i) {
      ASSERT_TRUE(
          Cluster::WaitForMetric(*frontend, cluster_.StateMetric(i, "up"), 1));
    }
  }

  double Answers(const ClusterFrontend& frontend, const std::string& source) {
    return MetricValue(
        Cluster::Metrics(frontend),
        absl::StrCat("parm_queries_total{model=\"fashion\",source=\"", source,
                     "\"}"));
  }

  Cluster cluster_;
  std::unique_ptr<const Code> code_;
  Dataset data_;
  HostTensor logits_;
};

class TrainedModelsTest : public TrainedModels,
                          public testing::WithParamInterface<Case> {
 protected:
  void SetUp() override {
    MakeModels({.scheme = GetParam().scheme, .k = 2}, GetParam().arch);
  }

  // Of the parity model's answer for the group of picture `lost` and the
  // deployed model's for the other one in it.
  void Reconstruct(int64_t lost, std::vector<float>* want) {
    HostTensor parity;
    AskParity("parity", /*parity_index=*/0, lost - lost % 2, &parity);
    const HostTensor sibling = SliceRows(logits_, lost ^ 1, 1);
    std::vector<std::optional<TensorView>> outputs(3, std::nullopt);
    outputs[static_cast<size_t>((lost ^ 1) % 2)] = sibling.view();
    outputs[2] = parity.view();
    Decode(outputs, lost % 2, want);
  }
};

TEST_P(TrainedModelsTest, ServesAndReconstructsWhatWasTrained) {
  if (HasFatalFailure()) return;
  cluster_.AddWorker(Serves::kDeployed);
  cluster_.AddWorker(Serves::kDeployed);
  cluster_.AddWorker(Serves::kParity);
  cluster_.StartWorkers();
  ClusterFrontend frontend;
  StartFrontend(&frontend, /*num_workers=*/3);
  if (HasFatalFailure()) return;

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

class TrainedParitiesTest : public TrainedModels {
 protected:
  void SetUp() override {
    MakeModels({.scheme = "weighted", .k = 2, .r = 2}, "mlp");
    if (HasFatalFailure()) return;
    // A bundle for each parity; moved to where the cluster looks for them.
    const std::filesystem::path folder(cluster_.directory().path());
    std::filesystem::rename(folder / "parity", folder / "both");
    std::filesystem::rename(folder / "both" / "0", folder / "parity");
    std::filesystem::rename(folder / "both" / "1", folder / "second");
  }
};

TEST_F(TrainedParitiesTest, BothMembersAreRebuiltFromTwoParities) {
  if (HasFatalFailure()) return;
  cluster_.AddWorker(Serves::kDeployed);
  cluster_.AddWorker(Serves::kDeployed);
  cluster_.AddWorker(Serves::kParity);
  cluster_.AddWorker(Serves::kSecondParity);
  cluster_.StartWorkers();
  ClusterFrontend frontend;
  StartFrontend(&frontend, /*num_workers=*/4);
  if (HasFatalFailure()) return;

  // Stopped, all take their tasks and answer none before two of them die.
  for (size_t i = 0; i < 4; ++i) cluster_.SignalWorker(i, SIGSTOP);
  InferClient client(frontend.http_port);
  for (int64_t i = 0; i < 2; ++i) client.Send("fashion", Picture(i));
  for (const char* const kind : {"original", "parity"}) {
    ASSERT_TRUE(Cluster::WaitForMetric(
        frontend,
        absl::StrCat("parm_tasks_total{model=\"fashion\",attempt_type=\"", kind,
                     "\"}"),
        2));
  }
  for (size_t i = 0; i < 2; ++i) cluster_.SignalWorker(i, SIGKILL);
  for (size_t i = 2; i < 4; ++i) cluster_.SignalWorker(i, SIGCONT);

  HostTensor first;
  HostTensor second;
  AskParity("parity", /*parity_index=*/0, /*first=*/0, &first);
  AskParity("second", /*parity_index=*/1, /*first=*/0, &second);
  if (HasFatalFailure()) return;
  for (int64_t i = 0; i < 2; ++i) {
    const InferAnswer answer = client.Receive();
    ASSERT_EQ(answer.status, 200) << answer.error;
    EXPECT_EQ(answer.source, "reconstructed");
    std::vector<float> want;
    Decode({std::nullopt, std::nullopt, first.view(), second.view()}, i, &want);
    EXPECT_THAT(answer.values, Pointwise(FloatNear(1e-3F), want));
  }
}

INSTANTIATE_TEST_SUITE_P(
    TrainedSchemes, TrainedModelsTest,
    testing::Values(Case{"sum", "mlp"}, Case{"concat", "cnn"},
                    Case{"tile", "cnn"}, Case{"stack", "cnn"}),
    [](const auto& instance) { return instance.param.scheme; });

}  // namespace
}  // namespace parm
