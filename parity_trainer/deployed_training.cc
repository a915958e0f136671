#include "parity_trainer/deployed_training.h"

#include <vector>

#include "base/status_macros.h"
#include "parity_trainer/architectures/architecture.h"
#include "parity_trainer/gradient_exchange.h"
#include "parity_trainer/group_encoder.h"
#include "parity_trainer/moments.h"
#include "parity_trainer/shuffle.h"
#include "parity_trainer/torch_tensor.h"
#include "parity_trainer/training_loop.h"
#include "torch/script.h"

namespace parm {
namespace {

constexpr int64_t kValidationSamplesAtOnce = 500;

class DeployedTask : public TrainingTask {
 public:
  DeployedTask(const Dataset& data, DataType wire_datatype,
               const TrainingSettings& settings)
      : data_(data),
        wire_datatype_(wire_datatype),
        seed_(settings.seed),
        recipe_(settings.recipe),
        split_(HoldOut(data.train.size(),
                       NumHeldOut(settings.recipe, data.train.size(), 1),
                       settings.seed)),
        labels_(torch::tensor(data.train.labels, torch::kLong)) {}

  int64_t examples_per_epoch() const override {
    return static_cast<int64_t>(split_.rest.size());
  }

  int64_t samples_per_example() const override { return 1; }

  void BeginEpoch(int64_t epoch) override {
    epoch_ = epoch;
    order_ = split_.EpochOrder(seed_, epoch);
  }

  absl::StatusOr<at::Tensor> Loss(torch::jit::Module* network, int64_t begin,
                                  int64_t count) override {
    const absl::Span<const int64_t> chosen =
        absl::MakeConstSpan(order_).subspan(static_cast<size_t>(begin),
                                            static_cast<size_t>(count));
    HostTensor samples =
        GatherSamples(data_, data_.train, chosen, wire_datatype_);
    Augment(recipe_.augmentation, StepSeed(seed_, epoch_, begin), &samples);
    PARM_ASSIGN_OR_RETURN(const at::Tensor logits, Answer(network, samples));
    return torch::nn::functional::cross_entropy(
        logits, LabelsOf(chosen),
        torch::nn::functional::CrossEntropyFuncOptions().label_smoothing(
            recipe_.label_smoothing));
  }

  absl::StatusOr<Tally> Validate(torch::jit::Module* network, int part,
                                 int parts) override {
    const ExampleRange range = PartOf(
        {.count = static_cast<int64_t>(split_.held_out.size())}, part, parts);
    absl::Span<const int64_t> rest =
        absl::MakeConstSpan(split_.held_out)
            .subspan(static_cast<size_t>(range.begin),
                     static_cast<size_t>(range.count));
    Tally tally = {.asked = range.count};
    while (!rest.empty()) {
      const absl::Span<const int64_t> chosen =
          rest.subspan(0, kValidationSamplesAtOnce);
      PARM_ASSIGN_OR_RETURN(
          const at::Tensor logits,
          Answer(network,
                 GatherSamples(data_, data_.train, chosen, wire_datatype_)));
      tally.right +=
          logits.argmax(1).eq(LabelsOf(chosen)).sum().item<int64_t>();
      rest.remove_prefix(chosen.size());
    }
    return tally;
  }

 private:
  static absl::StatusOr<at::Tensor> Answer(torch::jit::Module* network,
                                           const HostTensor& samples) {
    PARM_ASSIGN_OR_RETURN(const at::Tensor input, ViewAsTorch(samples));
    return network->forward({input}).toTensor().to(at::kFloat);
  }

  at::Tensor LabelsOf(absl::Span<const int64_t> samples) const {
    return labels_.index_select(
        0, torch::tensor(at::IntArrayRef(samples.data(), samples.size()),
                         torch::kLong));
  }

  const Dataset& data_;
  const DataType wire_datatype_;
  const uint64_t seed_;
  const Recipe& recipe_;
  const HeldOutSplit split_;
  const at::Tensor labels_;
  int64_t epoch_ = 0;
  std::vector<int64_t> order_;
};

}  // namespace

absl::StatusOr<TrainedModel> TrainDeployed(const Dataset& data,
                                           const std::string& architecture,
                                           DataType wire_datatype,
                                           const TrainingSettings& settings,
                                           ProgressReporter* progress) {
  PARM_RETURN_IF_ERROR(
      CheckAugmentation(settings.recipe.augmentation, data.sample_shape));
  const Moments moments = MomentsOf(data.datatype, data.train.values);
  torch::manual_seed(settings.seed);
  PARM_ASSIGN_OR_RETURN(
      torch::jit::Module network,
      BuildArchitecture(architecture,
                        {.sample_shape = data.sample_shape,
                         .num_outputs = data.num_classes,
                         .input_scale = 1 / moments.deviation,
                         .input_shift = -moments.mean / moments.deviation}));
  DeployedTask task(data, wire_datatype, settings);
  PARM_ASSIGN_OR_RETURN(TrainedModel trained,
                        RunTraining(settings, &task, &network, progress));
  if (trained.interrupted) return trained;
  PARM_ASSIGN_OR_RETURN(trained.model_bytes, SerializeNetwork(&network));
  trained.init = "scratch";
  return trained;
}

}  // namespace parm
