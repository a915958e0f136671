#include "parity_trainer/training_loop.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/architectures/architecture.h"
#include "parity_trainer/checkpoint.h"
#include "parity_trainer/graph_optimisation.h"
#include "parity_trainer/shuffle.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kExamples = 10;

/// Learns random targets of random inputs. Can fail or go astray at a step.
class RandomTask : public TrainingTask {
 public:
  int64_t examples_per_epoch() const override { return kExamples; }

  void BeginEpoch(int64_t epoch) override {
    ++epochs_begun;
    order_ = ShuffledIndices(kExamples, /*seed=*/1, epoch);
  }

  absl::StatusOr<at::Tensor> Loss(torch::jit::Module* network, int64_t begin,
                                  int64_t count) override {
    ++losses_asked;
    if (losses_asked == interrupt_at) std::raise(SIGINT);
    if (losses_asked == fill_disk_at) {
      rlimit full{};
      getrlimit(RLIMIT_FSIZE, &full);
      full.rlim_cur = 1000;
      setrlimit(RLIMIT_FSIZE, &full);
    }
    if (losses_asked == fail_at) return absl::UnavailableError("no data");
    const at::Tensor chosen =
        torch::tensor(order_, torch::kLong).slice(0, begin, begin + count);
    const at::Tensor answer =
        network->forward({inputs_.index_select(0, chosen)}).toTensor();
    const at::Tensor loss =
        torch::mse_loss(answer, targets_.index_select(0, chosen));
    return losses_asked == astray_at
               ? loss * std::numeric_limits<double>::quiet_NaN()
               : loss;
  }

  int64_t samples_per_example() const override { return 1; }

  absl::StatusOr<Tally> Validate(torch::jit::Module* network, int part,
                                 int parts) override {
    static_cast<void>(network);
    EXPECT_EQ(part, 0);
    EXPECT_EQ(parts, num_peers);
    optimised = optimised || torch::jit::getGraphExecutorOptimize();
    if (accuracies.empty()) return Tally{};
    const double accuracy = accuracies.front();
    accuracies.erase(accuracies.begin());
    return Tally{.right = std::lround(100 * accuracy), .asked = 100};
  }

  std::vector<double> accuracies;  // of the epochs to come; empty: none
  int num_peers = 1;
  bool optimised = false;  // whether graphs were at any validation
  int epochs_begun = 0;
  int losses_asked = 0;
  int fail_at = -1;
  int astray_at = -1;
  int interrupt_at = -1;
  int fill_disk_at = -1;

 private:
  const at::Tensor inputs_ = Draw({kExamples, 1, 8, 8});
  const at::Tensor targets_ = Draw({kExamples, 3});
  static at::Tensor Draw(at::IntArrayRef shape) {
    torch::manual_seed(17);
    return torch::rand(shape);
  }
  std::vector<int64_t> order_;
};

/// One other process, which does the same as this one, until it dies.
class MirrorPeers : public TrainingPeers {
 public:
  explicit MirrorPeers(int sums)
      : TrainingPeers(/*rank=*/0, /*size=*/2), sums_left_(sums) {}

  absl::Status Meet() override { return absl::OkStatus(); }
  absl::Status Sum(absl::Span<float> values) override {
    if (sums_left_-- == 0) return absl::UnavailableError("it has died");
    for (float& value : values) value *= 2;
    return absl::OkStatus();
  }
  absl::Status Broadcast(std::string* bytes) override {
    static_cast<void>(bytes);
    return absl::OkStatus();
  }

 private:
  int sums_left_;
};

class TrainingLoopTest : public testing::Test {
 protected:
  TrainingLoopTest() {
    settings_ = {.recipe = {.epochs = 4, .minibatch = 4, .learning_rate = 1e-2},
                 .checkpoint_path = scratch_ / "checkpoint",
                 .fingerprint = "test"};
  }

  static torch::jit::Module Network(const char* name = "mlp") {
    torch::manual_seed(5);
    return *BuildArchitecture(name,
                              {.sample_shape = {1, 8, 8}, .num_outputs = 3});
  }

  absl::StatusOr<TrainedModel> Run(TrainingTask* task,
                                   torch::jit::Module* network) {
    std::FILE* const null = std::fopen("/dev/null", "w");
    ProgressReporter progress("test", null, /*terminal=*/false);
    absl::StatusOr<TrainedModel> trained =
        RunTraining(settings_, task, network, &progress);
    std::fclose(null);
    return trained;
  }

  static bool Equal(const torch::jit::Module& a, const torch::jit::Module& b) {
    const NetworkState left = StateOf(a);
    const NetworkState right = StateOf(b);
    return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                      [](const at::Tensor& one, const at::Tensor& other) {
                        return torch::equal(one, other);
                      });
  }

  const ScratchDirectory scratch_;
  TrainingSettings settings_;
};

TEST_F(TrainingLoopTest, LossFallsOverTheEpochs) {
  at::set_num_threads(1);
  torch::jit::Module network = Network();
  RandomTask task;
  settings_.recipe.epochs = 30;
  task.BeginEpoch(0);
  const double before = task.Loss(&network, 0, kExamples)->item<double>();
  PARM_ASSERT_OK_AND_ASSIGN(const TrainedModel trained, Run(&task, &network));
  EXPECT_FALSE(trained.interrupted);
  EXPECT_GT(trained.seconds, 0);
  EXPECT_LT(task.Loss(&network, 0, kExamples)->item<double>(), before / 4);
}

TEST_F(TrainingLoopTest, CutRunOfConvolutionsEndsBitByBitTheSame) {
  at::set_num_threads(1);
  settings_.recipe.precision = "bf16";
  for (const char* const optimizer : {"sgd", "muon"}) {
    SCOPED_TRACE(optimizer);
    settings_.recipe.optimizer = optimizer;
    settings_.resume = false;
    torch::jit::Module whole = Network("cnn");
    RandomTask whole_task;
    ASSERT_THAT(Run(&whole_task, &whole), IsOk());
    torch::jit::Module cut = Network("cnn");
    RandomTask interrupted;
    interrupted.interrupt_at = 5;
    ASSERT_THAT(Run(&interrupted, &cut), IsOk());
    torch::jit::Module resumed = Network("cnn");
    RandomTask rest;
    settings_.resume = true;
    ASSERT_THAT(Run(&rest, &resumed), IsOk());
    EXPECT_EQ(rest.losses_asked, 12 - 5);
    EXPECT_TRUE(Equal(whole, resumed));
  }
}

TEST_F(TrainingLoopTest, RunCutAnywhereEndsBitByBitTheSame) {
  at::set_num_threads(1);
  torch::jit::Module whole = Network();
  RandomTask whole_task;
  ASSERT_THAT(Run(&whole_task, &whole), IsOk());
  // Four epochs of three steps; a checkpoint is written after each epoch.
  ASSERT_EQ(whole_task.losses_asked, 12);
  for (const int cut : {1, 2, 4, 7, 12}) {
    SCOPED_TRACE(cut);
    torch::jit::Module first = Network();
    RandomTask failing;
    failing.fail_at = cut;
    settings_.resume = false;
    ASSERT_THAT(Run(&failing, &first),
                StatusIs(absl::StatusCode::kUnavailable));
    torch::jit::Module second = Network();
    RandomTask task;
    settings_.resume = true;
    ASSERT_THAT(Run(&task, &second), IsOk());
    EXPECT_EQ(task.losses_asked, 12 - (cut - 1) / 3 * 3);
    EXPECT_TRUE(Equal(whole, second));
  }
}

// A step makes one sum; an epoch's end two, of running statistics and of what
// was validated.
TEST_F(TrainingLoopTest, RunThatLostAPeerEndsBitByBitTheSame) {
  at::set_num_threads(1);
  const auto run = [this](int sums, torch::jit::Module* network) {
    MirrorPeers peers(sums);
    settings_.peers = &peers;
    RandomTask task;
    task.num_peers = 2;
    return Run(&task, network);
  };
  settings_.recipe.epochs = 2;
  torch::jit::Module whole = Network("cnn");
  PARM_ASSERT_OK_AND_ASSIGN(const TrainedModel at_once, run(100, &whole));
  for (const int sums : {0, 1, 2, 3, 4, 5, 8, 9}) {
    SCOPED_TRACE(absl::StrCat("sums=", sums));
    settings_.resume = false;
    torch::jit::Module cut = Network("cnn");
    EXPECT_THAT(run(sums, &cut),
                StatusIs(absl::StatusCode::kUnavailable,
                         HasSubstr("it has died; the work so far is in ")));
    settings_.resume = true;
    torch::jit::Module resumed = Network("cnn");
    PARM_ASSERT_OK_AND_ASSIGN(const TrainedModel rest, run(100, &resumed));
    EXPECT_TRUE(Equal(whole, resumed));
    ASSERT_EQ(rest.history.size(), 2U);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(rest.history[i].step, at_once.history[i].step);
      EXPECT_EQ(rest.history[i].loss, at_once.history[i].loss);
    }
  }
}

TEST_F(TrainingLoopTest, GraphsAreOptimisedAgainAfterARun) {
  const GraphOptimisation as_at_start(true);
  torch::jit::Module network = Network();
  RandomTask task;
  ASSERT_THAT(Run(&task, &network), IsOk());
  EXPECT_FALSE(task.optimised);
  EXPECT_TRUE(torch::jit::getGraphExecutorOptimize());
}

TEST_F(TrainingLoopTest, ConvolutionsLearnChannelsLastAndAreSavedPlain) {
  at::set_num_threads(1);
  torch::jit::Module network = Network("cnn");
  RandomTask task;
  ASSERT_THAT(Run(&task, &network), IsOk());
  int convolutions = 0;
  for (const at::Tensor& weight : network.parameters()) {
    if (weight.dim() != 4) continue;
    ++convolutions;
    EXPECT_EQ(weight.suggest_memory_format(), at::MemoryFormat::ChannelsLast);
    EXPECT_TRUE(weight.requires_grad());
  }
  EXPECT_EQ(convolutions, 5);
  const at::Tensor input = torch::rand({4, 1, 8, 8});
  network.eval();
  const at::Tensor before = network.forward({input}).toTensor();
  PARM_ASSERT_OK_AND_ASSIGN(const std::string bytes,
                            SerializeNetwork(&network));
  std::istringstream stream(bytes);
  torch::jit::Module saved = torch::jit::load(stream);
  for (const at::Tensor& weight : saved.parameters()) {
    EXPECT_TRUE(weight.is_contiguous());
    if (weight.dim() != 4) continue;
    EXPECT_EQ(weight.suggest_memory_format(), at::MemoryFormat::Contiguous);
  }
  EXPECT_TRUE(
      torch::allclose(saved.forward({input}).toTensor(), before, 1e-4, 1e-4));
}

TEST_F(TrainingLoopTest, EveryOptimizerAndPrecisionLearns) {
  at::set_num_threads(1);
  for (const char* const optimizer : {"adam", "sgd", "muon"}) {
    for (const char* const precision : {"fp32", "bf16"}) {
      SCOPED_TRACE(absl::StrCat(optimizer, " ", precision));
      settings_.recipe = {.epochs = 30,
                          .minibatch = 4,
                          .learning_rate = 1e-2,
                          .optimizer = optimizer,
                          .precision = precision};
      torch::jit::Module network = Network();
      RandomTask task;
      task.BeginEpoch(0);
      const double before = task.Loss(&network, 0, kExamples)->item<double>();
      ASSERT_THAT(Run(&task, &network), IsOk());
      EXPECT_LT(task.Loss(&network, 0, kExamples)->item<double>(), before / 4);
    }
  }
}

TEST_F(TrainingLoopTest, BestEpochIsWhatRemains) {
  at::set_num_threads(1);
  // The schedule depends on the number of epochs, so the run is cut instead.
  torch::jit::Module second_epoch = Network();
  RandomTask cut;
  cut.interrupt_at = 6;
  cut.accuracies = {0.5, 0.7};
  PARM_ASSERT_OK_AND_ASSIGN(TrainedModel trained, Run(&cut, &second_epoch));
  EXPECT_TRUE(trained.interrupted);

  torch::jit::Module network = Network();
  RandomTask task;
  task.accuracies = {0.5, 0.7, 0.6, 0.7};
  PARM_ASSERT_OK_AND_ASSIGN(trained, Run(&task, &network));
  EXPECT_EQ(trained.best_epoch, 2);
  EXPECT_EQ(trained.validation_accuracy, 0.7);
  EXPECT_TRUE(Equal(network, second_epoch));

  // A resumed run remembers it.
  settings_.checkpoint_path = scratch_ / "other";
  torch::jit::Module resumed = Network();
  RandomTask first_half;
  first_half.accuracies = {0.5, 0.7};
  first_half.interrupt_at = 6;
  ASSERT_THAT(Run(&first_half, &resumed), IsOk());
  RandomTask rest;
  rest.accuracies = {0.6, 0.7};
  settings_.resume = true;
  PARM_ASSERT_OK_AND_ASSIGN(trained, Run(&rest, &resumed));
  EXPECT_EQ(trained.best_epoch, 2);
  EXPECT_TRUE(Equal(resumed, second_epoch));
}

TEST_F(TrainingLoopTest, HistoryOutlivesABreakWithinAnEpoch) {
  at::set_num_threads(1);
  settings_.log_path = scratch_ / "log.jsonl";
  torch::jit::Module network = Network();
  RandomTask whole;
  whole.accuracies = {0.5, 0.7, 0.6, 0.7};
  PARM_ASSERT_OK_AND_ASSIGN(const TrainedModel at_once, Run(&whole, &network));
  ASSERT_EQ(at_once.history.size(), 4U);
  EXPECT_EQ(ReadFile(settings_.log_path), ToJsonLines(at_once.history));

  torch::jit::Module resumed = Network();
  RandomTask cut;
  cut.accuracies = {0.5};
  cut.interrupt_at = 5;
  ASSERT_THAT(Run(&cut, &resumed), IsOk());
  RandomTask rest;
  rest.accuracies = {0.7, 0.6, 0.7};
  settings_.resume = true;
  PARM_ASSERT_OK_AND_ASSIGN(const TrainedModel again, Run(&rest, &resumed));
  ASSERT_EQ(again.history.size(), 4U);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(again.history[i].epoch, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(again.history[i].step, 3 * (static_cast<int64_t>(i) + 1));
    EXPECT_EQ(again.history[i].loss, at_once.history[i].loss);
    EXPECT_EQ(again.history[i].learning_rate, at_once.history[i].learning_rate);
    EXPECT_EQ(again.history[i].held_out_accuracy,
              at_once.history[i].held_out_accuracy);
  }
}

TEST_F(TrainingLoopTest, PatienceEndsARunThatGetsNoBetter) {
  settings_.recipe.patience = 2;
  torch::jit::Module network = Network();
  RandomTask task;
  task.accuracies = {0.7, 0.6, 0.5, 0.9};
  PARM_ASSERT_OK_AND_ASSIGN(TrainedModel trained, Run(&task, &network));
  EXPECT_FALSE(trained.interrupted);
  EXPECT_EQ(trained.best_epoch, 1);
  EXPECT_EQ(task.losses_asked, 9);
  // Nor does a resumed run go on.
  settings_.resume = true;
  RandomTask idle;
  PARM_ASSERT_OK_AND_ASSIGN(trained, Run(&idle, &network));
  EXPECT_FALSE(trained.interrupted);
  EXPECT_EQ(idle.losses_asked, 0);
}

TEST_F(TrainingLoopTest, ResumeWithoutCheckpointBeginsAnew) {
  torch::jit::Module network = Network();
  RandomTask task;
  settings_.resume = true;
  ASSERT_THAT(Run(&task, &network), IsOk());
  EXPECT_EQ(task.losses_asked, 12);
}

TEST_F(TrainingLoopTest, ResumeOfAFinishedRunTrainsNoMore) {
  torch::jit::Module network = Network();
  RandomTask task;
  ASSERT_THAT(Run(&task, &network), IsOk());
  torch::jit::Module again = Network();
  RandomTask idle;
  settings_.resume = true;
  ASSERT_THAT(Run(&idle, &again), IsOk());
  EXPECT_EQ(idle.losses_asked, 0);
  EXPECT_TRUE(Equal(network, again));
}

TEST_F(TrainingLoopTest, ResumeWithOtherSettingsIsRefused) {
  torch::jit::Module network = Network();
  RandomTask task;
  ASSERT_THAT(Run(&task, &network), IsOk());
  settings_.resume = true;
  settings_.fingerprint = "other";
  EXPECT_THAT(Run(&task, &network),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(TrainingLoopTest, LossThatIsNotFiniteEndsTheRun) {
  torch::jit::Module network = Network();
  RandomTask task;
  task.astray_at = 5;
  EXPECT_THAT(Run(&task, &network),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("loss is not finite at step 4")));
}

TEST_F(TrainingLoopTest, UnwritableCheckpointShowsBeforeTheFirstStep) {
  WriteFile(scratch_ / "file", "");
  settings_.checkpoint_path = scratch_ / "file/checkpoint";
  torch::jit::Module network = Network();
  RandomTask task;
  EXPECT_THAT(Run(&task, &network), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(task.losses_asked, 0);
}

TEST_F(TrainingLoopTest, DiskFullWhileTrainingLeavesTheLastCheckpoint) {
  at::set_num_threads(1);
  torch::jit::Module whole = Network();
  RandomTask whole_task;
  ASSERT_THAT(Run(&whole_task, &whole), IsOk());
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_IGN);
  torch::jit::Module cut = Network();
  RandomTask filling;
  filling.fill_disk_at = 5;  // in the second of four epochs of three steps
  const absl::StatusOr<TrainedModel> trained = Run(&filling, &cut);
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(trained, StatusIs(absl::StatusCode::kResourceExhausted,
                                HasSubstr("cannot write")));
  EXPECT_EQ(filling.losses_asked, 6);

  torch::jit::Module resumed = Network();
  RandomTask rest;
  settings_.resume = true;
  ASSERT_THAT(Run(&rest, &resumed), IsOk());
  EXPECT_EQ(rest.losses_asked, 12 - 3);
  EXPECT_TRUE(Equal(whole, resumed));
}

TEST_F(TrainingLoopTest, InterruptFinishesTheStepAndSaves) {
  at::set_num_threads(1);
  torch::jit::Module whole = Network();
  RandomTask whole_task;
  ASSERT_THAT(Run(&whole_task, &whole), IsOk());
  torch::jit::Module cut = Network();
  RandomTask interrupted;
  interrupted.interrupt_at = 5;
  PARM_ASSERT_OK_AND_ASSIGN(TrainedModel trained, Run(&interrupted, &cut));
  EXPECT_TRUE(trained.interrupted);
  EXPECT_EQ(interrupted.losses_asked, 5);
  EXPECT_FALSE(Equal(whole, cut));

  torch::jit::Module resumed = Network();
  RandomTask rest;
  settings_.resume = true;
  PARM_ASSERT_OK_AND_ASSIGN(trained, Run(&rest, &resumed));
  EXPECT_FALSE(trained.interrupted);
  EXPECT_EQ(rest.losses_asked, 12 - 5);
  EXPECT_TRUE(Equal(whole, resumed));
}

}  // namespace
}  // namespace parm
