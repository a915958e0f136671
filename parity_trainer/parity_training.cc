#include "parity_trainer/parity_training.h"

#include <algorithm>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/architectures/architecture.h"
#include "parity_trainer/group_encoder.h"
#include "parity_trainer/moments.h"
#include "parity_trainer/parity_objective.h"
#include "parity_trainer/shuffle.h"
#include "parity_trainer/torch_tensor.h"
#include "parity_trainer/training_loop.h"
#include "torch/script.h"

namespace parm {
namespace {

constexpr int64_t kNormalisationGroups = 1000;

class ParityTask : public TrainingTask {
 public:
  ParityTask(const ParityTrainingInput& input, ParityLoss loss, uint64_t seed,
             at::Tensor deployed_logits)
      : input_(input),
        k_(input.code->spec().k),
        loss_(loss),
        seed_(seed),
        deployed_logits_(std::move(deployed_logits)) {}

  int64_t examples_per_epoch() const override {
    return input_.data->train.size() / k_;
  }

  void BeginEpoch(int64_t epoch) override {
    order_ = ShuffledIndices(input_.data->train.size(), seed_, epoch);
  }

  absl::StatusOr<at::Tensor> Loss(torch::jit::Module* network, int64_t begin,
                                  int64_t count) override {
    // Group g of the epoch is order_[g * k] .. order_[g * k + k - 1].
    std::vector<int64_t> slot_major(static_cast<size_t>(count * k_));
    for (int64_t group = 0; group < count; ++group) {
      for (int64_t slot = 0; slot < k_; ++slot) {
        slot_major[static_cast<size_t>(slot * count + group)] =
            order_[static_cast<size_t>((begin + group) * k_ + slot)];
      }
    }
    PARM_ASSIGN_OR_RETURN(
        const HostTensor parity,
        EncodeGroups(*input_.code, input_.parity_index, *input_.data,
                     input_.data->train, slot_major, input_.wire_datatype));
    PARM_ASSIGN_OR_RETURN(const at::Tensor wire, ViewAsTorch(parity));
    const at::Tensor answer = network->forward({wire}).toTensor();
    const at::Tensor members =
        deployed_logits_
            .index_select(0, torch::tensor(slot_major, torch::kLong))
            .view({k_, count, -1});
    return ComputeParityLoss(loss_, answer, members);
  }

 private:
  const ParityTrainingInput& input_;
  const int64_t k_;
  const ParityLoss loss_;
  const uint64_t seed_;
  const at::Tensor deployed_logits_;
  std::vector<int64_t> order_;
};

/// Normalisation for parity queries, measured on some of them, so that it holds
/// for every scheme and datatype.
absl::StatusOr<NetworkSpec> ParityNetwork(const ParityTrainingInput& input,
                                          uint64_t seed) {
  const int64_t k = input.code->spec().k;
  const int64_t size = input.data->train.size();
  std::vector<int64_t> members = ShuffledIndices(size, seed, /*epoch=*/0);
  members.resize(
      static_cast<size_t>(std::min(size / k, kNormalisationGroups) * k));
  PARM_ASSIGN_OR_RETURN(
      const HostTensor parity,
      EncodeGroups(*input.code, input.parity_index, *input.data,
                   input.data->train, members, input.wire_datatype));
  const Moments moments = MomentsOf(parity.datatype, parity.bytes);
  NetworkSpec spec{.num_outputs = input.deployed_logits->shape[1],
                   .input_scale = 1 / moments.deviation,
                   .input_shift = -moments.mean / moments.deviation};
  spec.sample_shape.assign(parity.shape.begin() + 1, parity.shape.end());
  return spec;
}

}  // namespace

absl::StatusOr<TrainedModel> TrainParity(const ParityTrainingInput& input,
                                         const TrainingSettings& settings,
                                         ProgressReporter* progress) {
  PARM_ASSIGN_OR_RETURN(const ParityLoss loss, ParseParityLoss(input.loss));
  torch::manual_seed(settings.seed);
  PARM_ASSIGN_OR_RETURN(const NetworkSpec spec,
                        ParityNetwork(input, settings.seed));
  PARM_ASSIGN_OR_RETURN(torch::jit::Module network,
                        BuildArchitecture(input.architecture, spec));
  int copied = 0;
  if (!input.warm_start_model.empty()) {
    try {
      std::istringstream stream(input.warm_start_model);
      copied =
          CopyMatchingParameters(torch::jit::load(stream, at::kCPU), &network);
    } catch (const std::exception& error) {
      return absl::InvalidArgumentError(absl::StrCat(
          "deployed model cannot be read: ", FirstLine(error.what())));
    }
  }
  PARM_ASSIGN_OR_RETURN(const at::Tensor logits,
                        ViewAsTorch(*input.deployed_logits));
  ParityTask task(input, loss, settings.seed, logits);
  PARM_ASSIGN_OR_RETURN(TrainedModel trained,
                        RunTraining(settings, &task, &network, progress));
  if (trained.interrupted) return trained;
  PARM_ASSIGN_OR_RETURN(trained.model_bytes, SerializeNetwork(&network));
  trained.init = copied > 0 ? "deployed" : "scratch";
  return trained;
}

}  // namespace parm
