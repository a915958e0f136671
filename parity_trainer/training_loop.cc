#include "parity_trainer/training_loop.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numbers>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "ATen/autocast_mode.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/checkpoint.h"
#include "parity_trainer/gradient_exchange.h"
#include "parity_trainer/graph_optimisation.h"
#include "parity_trainer/interrupt.h"
#include "parity_trainer/optimizers.h"
#include "parity_trainer/torch_tensor.h"
#include "proto/atomic_file.h"

namespace parm {
namespace {

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

void LayOut(at::MemoryFormat format, torch::jit::Module* network) {
  const torch::NoGradGuard no_gradients;
  for (at::Tensor parameter : network->parameters()) {
    if (parameter.dim() != 4) continue;
    // contiguous() would keep the strides of a weight with one input channel,
    // which suit both layouts; convolutions take those for the default one.
    const at::Tensor laid =
        torch::empty(parameter.sizes(), parameter.options(), format);
    parameter.set_data(laid.copy_(parameter));
  }
}

class Run {
 public:
  Run(const TrainingSettings& settings, TrainingTask* task,
      torch::jit::Module* network, ProgressReporter* progress)
      : settings_(settings),
        task_(task),
        network_(network),
        progress_(progress),
        optimizer_(MakeOptimizer(settings.recipe, *network)),
        exchange_(settings.peers, settings.peers == nullptr
                                      ? std::vector<at::Tensor>()
                                      : ParametersOf(*network)),
        steps_per_epoch_((task->examples_per_epoch() + Minibatch() - 1) /
                         Minibatch()),
        steps_(steps_per_epoch_ * settings.recipe.epochs) {}

  absl::StatusOr<TrainedModel> Execute() {
    PARM_RETURN_IF_ERROR(Start());
    network_->train();
    progress_->Begin(begin_, position_.step, steps_, settings_.recipe.epochs);
    const absl::Status status = Steps();
    if (!status.ok()) return peer_lost_ ? PeerLost(status) : status;
    PARM_RETURN_IF_ERROR(Save());
    if (Done()) RestoreBest();
    return TrainedModel{
        .interrupted = !Done(),
        .seconds = position_.seconds,
        .best_epoch = position_.best_epoch,
        .validation_accuracy = position_.best_accuracy,
        .history = position_.history,
        .processes = NumPeers(),
        .samples_per_second = static_cast<double>(samples_) /
                              std::max(ToSeconds(Now() - begin_), 1e-9)};
  }

 private:
  int64_t Minibatch() const { return settings_.recipe.minibatch; }
  TrainingPeers* Peers() const { return settings_.peers; }
  int Rank() const { return Peers() == nullptr ? 0 : Peers()->rank(); }
  int NumPeers() const { return Peers() == nullptr ? 1 : Peers()->size(); }

  double LearningRate(int64_t step) const {
    return settings_.recipe.learning_rate * RateShare(step, steps_);
  }

  /// With peers, all are asked to stop after the same step.
  bool Interrupted() const {
    return Peers() == nullptr ? interrupts_.interrupted() : peer_interrupted_;
  }

  /// All steps are done, or no epoch was better for as long as the recipe
  /// waits. Depends on the position alone, so that a resumed run agrees.
  bool Done() const {
    const int64_t epochs_done = position_.step / steps_per_epoch_;
    return position_.step >= steps_ ||
           (settings_.recipe.patience > 0 && position_.best_epoch > 0 &&
            epochs_done - position_.best_epoch >= settings_.recipe.patience);
  }

  absl::Status Steps() {
    // An epoch's end that the loss of a peer cut off comes first.
    const int64_t epoch = position_.step / steps_per_epoch_;
    const int64_t recorded =
        position_.history.empty() ? 0 : position_.history.back().epoch;
    if (position_.step % steps_per_epoch_ == 0 && recorded < epoch) {
      PARM_RETURN_IF_ERROR(EndEpoch(epoch));
    }
    while (!Done() && !Interrupted()) PARM_RETURN_IF_ERROR(StepAndSave());
    return absl::OkStatus();
  }

  absl::Status StepAndSave() {
    const int64_t in_epoch = position_.step % steps_per_epoch_;
    const int64_t epoch = position_.step / steps_per_epoch_;
    if (epoch != drawn_epoch_) {
      task_->BeginEpoch(epoch);
      drawn_epoch_ = epoch;
    }
    PARM_RETURN_IF_ERROR(Step(in_epoch * Minibatch()));
    const bool epoch_ends = in_epoch + 1 == steps_per_epoch_;
    if (epoch_ends) PARM_RETURN_IF_ERROR(EndEpoch(epoch + 1));
    if (!epoch_ends && SecondsSinceSave() <= kCheckpointEverySeconds) {
      return absl::OkStatus();
    }
    return Save();
  }

  /// Held-out samples that the network serves right, of all peers together;
  /// nullopt if none are held out.
  absl::StatusOr<std::optional<double>> Validate() {
    absl::StatusOr<Tally> tally = Tally{};
    try {
      const torch::NoGradGuard no_gradients;
      tally = task_->Validate(network_, Rank(), NumPeers());
    } catch (const std::exception& error) {
      return absl::InternalError(
          absl::StrCat("validation failed: ", FirstLine(error.what())));
    }
    if (!tally.ok()) return tally.status();
    std::array<double, 2> counts = {static_cast<double>(tally->right),
                                    static_cast<double>(tally->asked)};
    if (Peers() != nullptr) {
      std::array<float, 2> sums = {static_cast<float>(tally->right),
                                   static_cast<float>(tally->asked)};
      PARM_RETURN_IF_ERROR(Watched(Peers()->Sum(absl::MakeSpan(sums))));
      counts = {sums[0], sums[1]};
    }
    if (counts[1] == 0) return std::nullopt;
    return counts[0] / counts[1];
  }

  /// `epoch` counts from 1.
  absl::Status EndEpoch(int64_t epoch) {
    if (Peers() != nullptr) {
      PARM_RETURN_IF_ERROR(Watched(AverageBuffers(Peers(), *network_)));
    }
    network_->eval();
    const absl::StatusOr<std::optional<double>> accuracy = Validate();
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
    return Record(epoch, *accuracy);
  }

  absl::Status Record(int64_t epoch, std::optional<double> accuracy) {
    position_.history.push_back(
        {.epoch = epoch,
         .step = position_.step,
         .loss = position_.loss_sum /
                 static_cast<double>(task_->examples_per_epoch()),
         .learning_rate = LearningRate(position_.step - 1),
         .seconds = seconds_before_ + ToSeconds(Now() - begin_),
         .held_out_accuracy = accuracy});
    position_.loss_sum = 0;
    return WriteLog();
  }

  absl::Status WriteLog() const {
    if (settings_.log_path.empty() || !Leads(Peers())) return absl::OkStatus();
    return WriteFileAtomically(settings_.log_path,
                               ToJsonLines(position_.history));
  }

  void RestoreBest() {
    const torch::NoGradGuard no_gradients;
    const NetworkState state = StateOf(*network_);
    for (size_t i = 0; i < position_.best.size(); ++i) {
      state[i].copy_(position_.best[i]);
    }
  }

  absl::Status Start() {
    if (NumPeers() > Minibatch()) {
      return absl::InvalidArgumentError(
          absl::StrCat("more training processes than examples in a minibatch: "
                       "got ",
                       NumPeers(), ", want at most ", Minibatch()));
    }
    if (settings_.resume && Leads(Peers())) {
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
    PARM_RETURN_IF_ERROR(Save());
    PARM_RETURN_IF_ERROR(WriteLog());
    if (Peers() == nullptr) return absl::OkStatus();
    PARM_RETURN_IF_ERROR(ShareStart());
    begin_ = Now();
    return absl::OkStatus();
  }

  /// Every peer begins where rank 0 stands.
  absl::Status ShareStart() {
    PARM_RETURN_IF_ERROR(Peers()->Meet());
    std::string fingerprint = settings_.fingerprint;
    PARM_RETURN_IF_ERROR(Peers()->Broadcast(&fingerprint));
    if (fingerprint != settings_.fingerprint) {
      return absl::FailedPreconditionError(absl::StrCat(
          "rank 0 trains with other settings: it has \"", fingerprint,
          "\", rank ", Rank(), " has \"", settings_.fingerprint, "\""));
    }
    std::string state;
    if (Peers()->leads()) {
      PARM_ASSIGN_OR_RETURN(
          state, SerializeCheckpoint(settings_.fingerprint, position_,
                                     *network_, *optimizer_));
    }
    PARM_RETURN_IF_ERROR(Peers()->Broadcast(&state));
    if (Peers()->leads()) return absl::OkStatus();
    PARM_ASSIGN_OR_RETURN(
        position_,
        ParseCheckpoint(state, "what rank 0 sent", settings_.fingerprint,
                        network_, optimizer_.get()));
    seconds_before_ = position_.seconds;
    return absl::OkStatus();
  }

  absl::Status Save() {
    saved_ = Now();
    position_.seconds = seconds_before_ + ToSeconds(saved_ - begin_);
    if (!Leads(Peers())) return absl::OkStatus();
    return SaveCheckpoint(settings_.checkpoint_path, settings_.fingerprint,
                          position_, *network_, *optimizer_);
  }

  double SecondsSinceSave() const { return ToSeconds(Now() - saved_); }

  /// Remembers that it was a peer that failed.
  absl::Status Watched(absl::Status status) {
    if (!status.ok()) peer_lost_ = true;
    return status;
  }

  /// A step that is not done left nothing behind, so that the run can go on
  /// with it.
  absl::Status PeerLost(const absl::Status& why) {
    PARM_RETURN_IF_ERROR(Save());
    return absl::Status(
        why.code(),
        absl::StrCat(why.message(), "; the work so far is in ",
                     Peers()->leads() ? settings_.checkpoint_path
                                      : "rank 0's checkpoint",
                     ": run the same command with --resume to go on"));
  }

  /// The gradients of this process's part of the minibatch, and its part of the
  /// mean loss.
  absl::StatusOr<double> ComputeGradients(const ExampleRange& minibatch) {
    const ExampleRange own = PartOf(minibatch, Rank(), NumPeers());
    optimizer_->zero_grad();
    if (own.count == 0) return 0;
    PARM_ASSIGN_OR_RETURN(at::Tensor loss, Loss(own));
    if (own.count != minibatch.count) {
      loss = loss * (static_cast<double>(own.count) /
                     static_cast<double>(minibatch.count));
    }
    loss.backward();
    return loss.item<double>();
  }

  absl::StatusOr<at::Tensor> Loss(const ExampleRange& examples) {
    const Autocast autocast(settings_.recipe.precision == "bf16");
    return task_->Loss(network_, examples.begin, examples.count);
  }

  /// Running statistics, which a step moves before peers exchange gradients.
  std::vector<at::Tensor> CopyBuffers() const {
    std::vector<at::Tensor> copies;
    if (Peers() == nullptr) return copies;
    for (const at::Tensor& buffer : network_->buffers()) {
      copies.push_back(buffer.clone());
    }
    return copies;
  }

  void RestoreBuffers(const std::vector<at::Tensor>& copies) {
    const torch::NoGradGuard no_gradients;
    auto copy = copies.begin();
    for (const at::Tensor& buffer : network_->buffers()) {
      buffer.copy_(*copy++);
    }
  }

  absl::Status Step(int64_t first_example) {
    const int64_t count =
        std::min(Minibatch(), task_->examples_per_epoch() - first_example);
    SetRateShare(settings_.recipe, RateShare(position_.step, steps_),
                 optimizer_.get());
    StepSummary summary;
    try {
      const std::vector<at::Tensor> before = CopyBuffers();
      PARM_ASSIGN_OR_RETURN(
          summary.loss,
          ComputeGradients({.begin = first_example, .count = count}));
      if (Peers() != nullptr) {
        summary.interrupted = interrupts_.interrupted();
        absl::StatusOr<StepSummary> all = exchange_.Exchange(summary);
        if (!all.ok()) RestoreBuffers(before);
        PARM_RETURN_IF_ERROR(Watched(all.status()));
        summary = *all;
        peer_interrupted_ = summary.interrupted;
      }
      optimizer_->step();
    } catch (const std::exception& error) {
      return absl::InternalError(
          absl::StrCat("training step failed: ", FirstLine(error.what())));
    }
    if (!std::isfinite(summary.loss)) {
      return absl::DataLossError(
          absl::StrCat("loss is not finite at step ", position_.step,
                       "; a smaller --learning-rate may help"));
    }
    ++position_.step;
    position_.loss_sum += summary.loss * static_cast<double>(count);
    samples_ += count * task_->samples_per_example();
    progress_->Step(Now(), count, summary.loss);
    return absl::OkStatus();
  }

  const InterruptGuard interrupts_;
  const TrainingSettings& settings_;
  TrainingTask* const task_;
  torch::jit::Module* const network_;
  ProgressReporter* const progress_;
  const std::unique_ptr<torch::optim::Optimizer> optimizer_;
  GradientExchange exchange_;
  const int64_t steps_per_epoch_;
  const int64_t steps_;
  CheckpointPosition position_;
  int64_t drawn_epoch_ = -1;
  int64_t samples_ = 0;  // learned from in this run
  bool peer_lost_ = false;
  bool peer_interrupted_ = false;
  double seconds_before_ = 0;
  Time begin_;
  Time saved_;
};

}  // namespace

void UseChannelsLast(torch::jit::Module* network) {
  LayOut(at::MemoryFormat::ChannelsLast, network);
}

absl::StatusOr<TrainedModel> RunTraining(const TrainingSettings& settings,
                                         TrainingTask* task,
                                         torch::jit::Module* network,
                                         ProgressReporter* progress) {
  // The optimising executor rewrites a graph after its first runs, which would
  // make a resumed run differ in the last bits from an uninterrupted one.
  const GraphOptimisation as_written(false);
  UseChannelsLast(network);
  return Run(settings, task, network, progress).Execute();
}

absl::StatusOr<std::string> SerializeNetwork(torch::jit::Module* network) {
  try {
    network->eval();
    LayOut(at::MemoryFormat::Contiguous, network);
    std::ostringstream stream;
    network->save(stream);
    return stream.str();
  } catch (const std::exception& error) {
    return absl::InternalError(
        absl::StrCat("model cannot be saved: ", FirstLine(error.what())));
  }
}

}  // namespace parm
