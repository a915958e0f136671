#include "parity_trainer/deployed_training.h"

#include <vector>

#include "base/status_macros.h"
#include "parity_trainer/architectures/architecture.h"
#include "parity_trainer/group_encoder.h"
#include "parity_trainer/moments.h"
#include "parity_trainer/shuffle.h"
#include "parity_trainer/torch_tensor.h"
#include "parity_trainer/training_loop.h"
#include "torch/script.h"

namespace parm {
namespace {

class DeployedTask : public TrainingTask {
 public:
  DeployedTask(const Dataset& data, DataType wire_datatype, uint64_t seed)
      : data_(data), wire_datatype_(wire_datatype), seed_(seed) {}

  int64_t examples_per_epoch() const override { return data_.train.size(); }

  void BeginEpoch(int64_t epoch) override {
    order_ = ShuffledIndices(data_.train.size(), seed_, epoch);
  }

  absl::StatusOr<at::Tensor> Loss(torch::jit::Module* network, int64_t begin,
                                  int64_t count) override {
    const absl::Span<const int64_t> chosen =
        absl::MakeConstSpan(order_).subspan(static_cast<size_t>(begin),
                                            static_cast<size_t>(count));
    const HostTensor samples =
        GatherSamples(data_, data_.train, chosen, wire_datatype_);
    std::vector<int64_t> labels;
    for (const int64_t index : chosen) {
      labels.push_back(data_.train.labels[static_cast<size_t>(index)]);
    }
    PARM_ASSIGN_OR_RETURN(const at::Tensor input, ViewAsTorch(samples));
    const at::Tensor logits = network->forward({input}).toTensor();
    return torch::nn::functional::cross_entropy(
        logits, torch::tensor(labels, torch::kLong));
  }

 private:
  const Dataset& data_;
  const DataType wire_datatype_;
  const uint64_t seed_;
  std::vector<int64_t> order_;
};

}  // namespace

absl::StatusOr<TrainedModel> TrainDeployed(const Dataset& data,
                                           const std::string& architecture,
                                           DataType wire_datatype,
                                           const TrainingSettings& settings,
                                           ProgressReporter* progress) {
  const Moments moments = MomentsOf(data.datatype, data.train.values);
  torch::manual_seed(settings.seed);
  PARM_ASSIGN_OR_RETURN(
      torch::jit::Module network,
      BuildArchitecture(architecture,
                        {.sample_shape = data.sample_shape,
                         .num_outputs = data.num_classes,
                         .input_scale = 1 / moments.deviation,
                         .input_shift = -moments.mean / moments.deviation}));
  DeployedTask task(data, wire_datatype, settings.seed);
  PARM_ASSIGN_OR_RETURN(TrainedModel trained,
                        RunTraining(settings, &task, &network, progress));
  if (trained.interrupted) return trained;
  PARM_ASSIGN_OR_RETURN(trained.model_bytes, SerializeNetwork(&network));
  trained.init = "scratch";
  return trained;
}

}  // namespace parm
