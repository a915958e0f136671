#include "parity_trainer/training_loop.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <optional>
#include <sstream>
#include <vector>

#include "ATen/autocast_mode.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/checkpoint.h"
#include "parity_trainer/interrupt.h"
#include "parity_trainer/torch_tensor.h"
#include "torch/csrc/jit/python/update_graph_executor_opt.h"

namespace parm {
namespace {

constexpr double kMomentum = 0.9;
constexpr double kWarmUpShare = 0.05;
constexpr double kCheckpointEverySeconds = 60;

/// Share of the full learning rate at a step; depends on nothing else, so that
/// a resumed run goes on with the same rate.
double RateShare(int64_t step, int64_t steps) {
  const double at = (static_cast<double>(step) + 0.5) /
                    static_cast<double>(std::max<int64_t>(steps, 1));
  if (at < kWarmUpShare) return at / kWarmUpShare;
  const double after = (at - kWarmUpShare) / (1 - kWarmUpShare);
  return 0.5 * (1 + std::cos(std::numbers::pi * after));
}

std::vector<at::Tensor> ParametersOf(const torch::jit::Module& network) {
  std::vector<at::Tensor> parameters;
  for (const at::Tensor& parameter : network.parameters()) {
    parameters.push_back(parameter);
  }
  return parameters;
}

std::unique_ptr<torch::optim::Optimizer> MakeOptimizer(
    const Recipe& recipe, const torch::jit::Module& network) {
  if (recipe.optimizer == "sgd") {
    return std::make_unique<torch::optim::SGD>(
        ParametersOf(network), torch::optim::SGDOptions(recipe.learning_rate)
                                   .momentum(kMomentum)
                                   .nesterov(true)
                                   .weight_decay(recipe.weight_decay));
  }
  return std::make_unique<torch::optim::Adam>(
      ParametersOf(network), torch::optim::AdamOptions(recipe.learning_rate)
                                 .weight_decay(recipe.weight_decay));
}

/// While it lives, operators that gain from it compute in BF16.
class Autocast {
 public:
  explicit Autocast(bool enabled) : enabled_(enabled) {
    if (!enabled_) return;
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::increment_nesting();
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
  ~Autocast() {
    if (!enabled_) return;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }

 private:
  const bool enabled_;
};

Time Now() { return std::chrono::steady_clock::now(); }

class Run {
 public:
  Run(const TrainingSettings& settings, TrainingTask* task,
      torch::jit::Module* network, ProgressReporter* progress)
      : settings_(settings),
        task_(task),
        network_(network),
        progress_(progress),
        optimizer_(MakeOptimizer(settings.recipe, *network)),
        steps_per_epoch_((task->examples_per_epoch() + Minibatch() - 1) /
                         Minibatch()),
        steps_(steps_per_epoch_ * settings.recipe.epochs) {}

  absl::StatusOr<TrainedModel> Execute() {
    PARM_RETURN_IF_ERROR(Start());
    network_->train();
    progress_->Begin(begin_, position_.step, steps_, settings_.recipe.epochs);
    while (!Done() && !interrupts_.interrupted()) {
      const int64_t in_epoch = position_.step % steps_per_epoch_;
      const int64_t epoch = position_.step / steps_per_epoch_;
      if (epoch != drawn_epoch_) {
        task_->BeginEpoch(epoch);
        drawn_epoch_ = epoch;
      }
      PARM_RETURN_IF_ERROR(Step(in_epoch * Minibatch()));
      const bool epoch_ends = in_epoch + 1 == steps_per_epoch_;
      if (epoch_ends) PARM_RETURN_IF_ERROR(EndEpoch(epoch + 1));
      if (epoch_ends || SecondsSinceSave() > kCheckpointEverySeconds) {
        PARM_RETURN_IF_ERROR(Save());
      }
    }
    PARM_RETURN_IF_ERROR(Save());
    if (Done()) RestoreBest();
    return TrainedModel{.interrupted = !Done(),
                        .seconds = position_.seconds,
                        .best_epoch = position_.best_epoch,
                        .validation_accuracy = position_.best_accuracy};
  }

 private:
  int64_t Minibatch() const { return settings_.recipe.minibatch; }

  /// All steps are done, or no epoch was better for as long as the recipe
  /// waits. Depends on the position alone, so that a resumed run agrees.
  bool Done() const {
    const int64_t epochs_done = position_.step / steps_per_epoch_;
    return position_.step >= steps_ ||
           (settings_.recipe.patience > 0 && position_.best_epoch > 0 &&
            epochs_done - position_.best_epoch >= settings_.recipe.patience);
  }

  /// `epoch` counts from 1.
  absl::Status EndEpoch(int64_t epoch) {
    network_->eval();
    absl::StatusOr<std::optional<double>> accuracy = std::nullopt;
    try {
      const torch::NoGradGuard no_gradients;
      accuracy = task_->Validate(network_);
    } catch (const std::exception& error) {
      return absl::InternalError(
          absl::StrCat("validation failed: ", FirstLine(error.what())));
    }
    network_->train();
    if (!accuracy.ok()) return accuracy.status();
    if (accuracy->has_value() && **accuracy > position_.best_accuracy) {
      position_.best_accuracy = **accuracy;
      position_.best_epoch = epoch;
      position_.best.clear();
      for (const at::Tensor& tensor : StateOf(*network_)) {
        position_.best.push_back(tensor.detach().clone());
      }
    }
    progress_->EndEpoch(Now(), epoch, *accuracy);
    return absl::OkStatus();
  }

  void RestoreBest() {
    const torch::NoGradGuard no_gradients;
    const NetworkState state = StateOf(*network_);
    for (size_t i = 0; i < position_.best.size(); ++i) {
      state[i].copy_(position_.best[i]);
    }
  }

  absl::Status Start() {
    if (settings_.resume) {
      absl::StatusOr<CheckpointPosition> position =
          LoadCheckpoint(settings_.checkpoint_path, settings_.fingerprint,
                         network_, optimizer_.get());
      if (position.ok()) {
        position_ = *position;
      } else if (!absl::IsNotFound(position.status())) {
        return position.status();
      }
    }
    begin_ = Now();
    saved_ = begin_;
    seconds_before_ = position_.seconds;
    return Save();
  }

  absl::Status Save() {
    saved_ = Now();
    position_.seconds = seconds_before_ + ToSeconds(saved_ - begin_);
    return SaveCheckpoint(settings_.checkpoint_path, settings_.fingerprint,
                          position_, *network_, *optimizer_);
  }

  double SecondsSinceSave() const { return ToSeconds(Now() - saved_); }

  absl::StatusOr<at::Tensor> Loss(int64_t first_example, int64_t count) {
    const Autocast autocast(settings_.recipe.precision == "bf16");
    return task_->Loss(network_, first_example, count);
  }

  absl::Status Step(int64_t first_example) {
    const int64_t count =
        std::min(Minibatch(), task_->examples_per_epoch() - first_example);
    const double rate =
        settings_.recipe.learning_rate * RateShare(position_.step, steps_);
    optimizer_->param_groups()[0].options().set_lr(rate);
    double loss_value = 0;
    try {
      optimizer_->zero_grad();
      PARM_ASSIGN_OR_RETURN(const at::Tensor loss, Loss(first_example, count));
      loss_value = loss.item<double>();
      loss.backward();
      optimizer_->step();
    } catch (const std::exception& error) {
      return absl::InternalError(
          absl::StrCat("training step failed: ", FirstLine(error.what())));
    }
    if (!std::isfinite(loss_value)) {
      return absl::DataLossError(
          absl::StrCat("loss is not finite at step ", position_.step,
                       "; a smaller --learning-rate may help"));
    }
    ++position_.step;
    progress_->Step(Now(), count, loss_value);
    return absl::OkStatus();
  }

  const InterruptGuard interrupts_;
  const TrainingSettings& settings_;
  TrainingTask* const task_;
  torch::jit::Module* const network_;
  ProgressReporter* const progress_;
  const std::unique_ptr<torch::optim::Optimizer> optimizer_;
  const int64_t steps_per_epoch_;
  const int64_t steps_;
  CheckpointPosition position_;
  int64_t drawn_epoch_ = -1;
  double seconds_before_ = 0;
  Time begin_;
  Time saved_;
};

}  // namespace

absl::StatusOr<TrainedModel> RunTraining(const TrainingSettings& settings,
                                         TrainingTask* task,
                                         torch::jit::Module* network,
                                         ProgressReporter* progress) {
  // The optimising executor rewrites a graph after its first runs, which would
  // make a resumed run differ in the last bits from an uninterrupted one.
  torch::jit::setGraphExecutorOptimize(false);
  return Run(settings, task, network, progress).Execute();
}

absl::StatusOr<std::string> SerializeNetwork(torch::jit::Module* network) {
  try {
    network->eval();
    std::ostringstream stream;
    network->save(stream);
    return stream.str();
  } catch (const std::exception& error) {
    return absl::InternalError(
        absl::StrCat("model cannot be saved: ", FirstLine(error.what())));
  }
}

}  // namespace parm
