#include "parity_trainer/training_loop.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/checkpoint.h"
#include "parity_trainer/interrupt.h"
#include "parity_trainer/torch_tensor.h"
#include "torch/csrc/jit/python/update_graph_executor_opt.h"

namespace parm {
namespace {

constexpr double kWeightDecay = 1e-5;  // ParM's
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

Time Now() { return std::chrono::steady_clock::now(); }

class Run {
 public:
  Run(const TrainingSettings& settings, TrainingTask* task,
      torch::jit::Module* network, ProgressReporter* progress)
      : settings_(settings),
        task_(task),
        network_(network),
        progress_(progress),
        optimizer_(ParametersOf(*network),
                   torch::optim::AdamOptions(settings.learning_rate)
                       .weight_decay(kWeightDecay)),
        steps_per_epoch_((task->examples_per_epoch() + settings.minibatch - 1) /
                         settings.minibatch),
        steps_(steps_per_epoch_ * settings.epochs) {}

  absl::StatusOr<TrainedModel> Execute() {
    PARM_RETURN_IF_ERROR(Start());
    network_->train();
    progress_->Begin(begin_, position_.step, steps_, settings_.epochs);
    while (position_.step < steps_ && !interrupts_.interrupted()) {
      const int64_t in_epoch = position_.step % steps_per_epoch_;
      const int64_t epoch = position_.step / steps_per_epoch_;
      if (epoch != drawn_epoch_) {
        task_->BeginEpoch(epoch);
        drawn_epoch_ = epoch;
      }
      PARM_RETURN_IF_ERROR(Step(in_epoch * settings_.minibatch));
      const bool epoch_ends = in_epoch + 1 == steps_per_epoch_;
      if (epoch_ends) progress_->EndEpoch(Now(), epoch + 1);
      if (epoch_ends || SecondsSinceSave() > kCheckpointEverySeconds) {
        PARM_RETURN_IF_ERROR(Save());
      }
    }
    PARM_RETURN_IF_ERROR(Save());
    return TrainedModel{.interrupted = position_.step < steps_,
                        .seconds = position_.seconds};
  }

 private:
  static std::vector<at::Tensor> ParametersOf(
      const torch::jit::Module& network) {
    std::vector<at::Tensor> parameters;
    for (const at::Tensor& parameter : network.parameters()) {
      parameters.push_back(parameter);
    }
    return parameters;
  }

  absl::Status Start() {
    if (settings_.resume) {
      absl::StatusOr<CheckpointPosition> position =
          LoadCheckpoint(settings_.checkpoint_path, settings_.fingerprint,
                         network_, &optimizer_);
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
                          position_, *network_, optimizer_);
  }

  double SecondsSinceSave() const { return ToSeconds(Now() - saved_); }

  absl::Status Step(int64_t first_example) {
    const int64_t count = std::min(settings_.minibatch,
                                   task_->examples_per_epoch() - first_example);
    const double rate =
        settings_.learning_rate * RateShare(position_.step, steps_);
    optimizer_.param_groups()[0].options().set_lr(rate);
    double loss_value = 0;
    try {
      optimizer_.zero_grad();
      PARM_ASSIGN_OR_RETURN(const at::Tensor loss,
                            task_->Loss(network_, first_example, count));
      loss_value = loss.item<double>();
      loss.backward();
      optimizer_.step();
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
  torch::optim::Adam optimizer_;
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
