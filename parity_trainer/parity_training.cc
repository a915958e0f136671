#include "parity_trainer/parity_training.h"

#include <algorithm>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "encoder/picture_grid.h"
#include "encoder/weighted_code.h"
#include "parity_trainer/architectures/architecture.h"
#include "parity_trainer/gradient_exchange.h"
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
constexpr int64_t kValidationGroupsAtOnce = 250;

/// Of the members' logits in what parity model `parity_index` answers, [k];
/// undefined if it answers each member by itself.
at::Tensor AnswerCoefficients(const Code& code, int parity_index) {
  if (code.multi_output()) return {};
  const CodeSpec& spec = code.spec();
  at::Tensor coefficients = torch::ones({spec.k});
  if (spec.scheme != "weighted") return coefficients;
  const Matrix all = WeightedCoefficients(spec.k, spec.r);
  for (int slot = 0; slot < spec.k; ++slot) {
    coefficients[slot] = all.at(parity_index, slot);
  }
  return coefficients;
}

class ParityTask : public TrainingTask {
 public:
  /// `deployed` answers augmented samples; nullopt: stored answers are taken.
  ParityTask(const ParityTrainingInput& input, ParityLoss loss,
             const TrainingSettings& settings, at::Tensor deployed_logits,
             std::optional<torch::jit::Module> deployed)
      : input_(input),
        k_(input.code->spec().k),
        loss_(loss),
        coefficients_(AnswerCoefficients(*input.code, input.parity_index)),
        seed_(settings.seed),
        recipe_(settings.recipe),
        deployed_logits_(std::move(deployed_logits)),
        deployed_(std::move(deployed)),
        split_(
            HoldOut(input.data->train.size(),
                    NumHeldOut(settings.recipe, input.data->train.size(), k_),
                    settings.seed)),
        labels_(torch::tensor(input.data->train.labels, torch::kLong)) {}

  int64_t examples_per_epoch() const override {
    return static_cast<int64_t>(split_.rest.size()) / k_;
  }

  int64_t samples_per_example() const override { return k_; }

  void BeginEpoch(int64_t epoch) override {
    epoch_ = epoch;
    order_ = split_.EpochOrder(seed_, epoch);
  }

  absl::StatusOr<at::Tensor> Loss(torch::jit::Module* network, int64_t begin,
                                  int64_t count) override {
    const std::vector<int64_t> members = SlotMajor(order_, begin, count);
    HostTensor samples = GatherSamples(*input_.data, input_.data->train,
                                       members, input_.wire_datatype);
    Augment(recipe_.augmentation, StepSeed(seed_, epoch_, begin), &samples);
    PARM_ASSIGN_OR_RETURN(
        const HostTensor parity,
        EncodeMembers(*input_.code, input_.parity_index, samples));
    PARM_ASSIGN_OR_RETURN(const at::Tensor answer, Answer(network, parity));
    PARM_ASSIGN_OR_RETURN(const at::Tensor logits,
                          DeployedAnswer(samples, members, count));
    at::Tensor targets = torch::softmax(logits, 2);
    if (recipe_.label_share > 0) {
      const at::Tensor right =
          torch::one_hot(LabelsOf(members).view({k_, count}), logits.size(2));
      targets = targets * (1 - recipe_.label_share) +
                right.to(at::kFloat) * recipe_.label_share;
    }
    return ComputeParityLoss(loss_, coefficients_, answer, logits, targets);
  }

  /// Share of reconstructions that are right when one member is lost.
  absl::StatusOr<Tally> Validate(torch::jit::Module* network, int part,
                                 int parts) override {
    const ExampleRange groups =
        PartOf({.count = static_cast<int64_t>(split_.held_out.size()) / k_},
               part, parts);
    const int64_t end = groups.begin + groups.count;
    Tally tally = {.asked = groups.count * k_};
    for (int64_t begin = groups.begin; begin < end;
         begin += kValidationGroupsAtOnce) {
      const int64_t count = std::min(kValidationGroupsAtOnce, end - begin);
      const std::vector<int64_t> members =
          SlotMajor(split_.held_out, begin, count);
      PARM_ASSIGN_OR_RETURN(
          const HostTensor parity,
          EncodeGroups(*input_.code, input_.parity_index, *input_.data,
                       input_.data->train, members, input_.wire_datatype));
      PARM_ASSIGN_OR_RETURN(const at::Tensor answer, Answer(network, parity));
      const at::Tensor decoded =
          DecodeEach(coefficients_, answer, LogitsOf(members, count));
      tally.right += decoded.argmax(2)
                         .view({k_ * count})
                         .eq(LabelsOf(members))
                         .sum()
                         .item<int64_t>();
    }
    return tally;
  }

 private:
  /// Groups [begin, begin + count): group g is order[g * k] .. of k samples.
  std::vector<int64_t> SlotMajor(const std::vector<int64_t>& order,
                                 int64_t begin, int64_t count) const {
    std::vector<int64_t> slot_major(static_cast<size_t>(count * k_));
    for (int64_t group = 0; group < count; ++group) {
      for (int64_t slot = 0; slot < k_; ++slot) {
        slot_major[static_cast<size_t>(slot * count + group)] =
            order[static_cast<size_t>((begin + group) * k_ + slot)];
      }
    }
    return slot_major;
  }

  absl::StatusOr<at::Tensor> Answer(torch::jit::Module* network,
                                    const HostTensor& query) const {
    PARM_ASSIGN_OR_RETURN(const at::Tensor wire, ViewAsTorch(query));
    return network->forward({wire}).toTensor().to(at::kFloat);
  }

  /// [k, count, classes], of these samples of these members.
  absl::StatusOr<at::Tensor> DeployedAnswer(const HostTensor& samples,
                                            const std::vector<int64_t>& members,
                                            int64_t count) {
    if (!deployed_) return LogitsOf(members, count);
    const torch::NoGradGuard no_gradients;
    PARM_ASSIGN_OR_RETURN(const at::Tensor answer,
                          Answer(&*deployed_, samples));
    return answer.view({k_, count, -1});
  }

  at::Tensor LogitsOf(const std::vector<int64_t>& members,
                      int64_t count) const {
    return deployed_logits_
        .index_select(0, torch::tensor(members, torch::kLong))
        .view({k_, count, -1});
  }

  at::Tensor LabelsOf(const std::vector<int64_t>& members) const {
    return labels_.index_select(0, torch::tensor(members, torch::kLong));
  }

  const ParityTrainingInput& input_;
  const int64_t k_;
  const ParityLoss loss_;
  const at::Tensor coefficients_;
  const uint64_t seed_;
  const Recipe& recipe_;
  const at::Tensor deployed_logits_;
  std::optional<torch::jit::Module> deployed_;
  const HeldOutSplit split_;
  const at::Tensor labels_;
  int64_t epoch_ = 0;
  std::vector<int64_t> order_;
};

/// One head per member where the code wants an answer of its own for each, in
/// the member's own cell where the query is a grid.
void SetHeads(const CodeSpec& code, NetworkSpec* spec) {
  if (code.scheme != "tile" && code.scheme != "stack") return;
  spec->num_heads = code.k;
  if (code.scheme == "stack") return;
  const PictureGrid grid(code.k);
  spec->grid_rows = grid.num_rows();
  spec->grid_columns = grid.num_columns();
}

/// Normalisation for parity queries, measured on some of them, so that it holds
/// for every scheme and datatype.
absl::StatusOr<NetworkSpec> ParityNetwork(const ParityTrainingInput& input,
                                          const TrainingSettings& settings) {
  const int64_t k = input.code->spec().k;
  const int64_t size = input.data->train.size();
  std::vector<int64_t> members =
      ShuffledIndices(size, settings.seed, /*epoch=*/0);
  members.resize(
      static_cast<size_t>(std::min(size / k, kNormalisationGroups) * k));
  PARM_ASSIGN_OR_RETURN(
      const HostTensor parity,
      EncodeGroups(*input.code, input.parity_index, *input.data,
                   input.data->train, members, input.wire_datatype));
  const Moments moments = MomentsOf(parity.datatype, parity.bytes);
  NetworkSpec spec{.num_outputs = input.deployed_logits->shape[1],
                   .input_scale = 1 / moments.deviation,
                   .input_shift = -moments.mean / moments.deviation,
                   .keep_resolution = settings.recipe.keep_resolution,
                   .width = input.width};
  spec.sample_shape.assign(parity.shape.begin() + 1, parity.shape.end());
  SetHeads(input.code->spec(), &spec);
  return spec;
}

/// `role` names it in messages.
absl::StatusOr<torch::jit::Module> LoadModel(absl::string_view role,
                                             const std::string& model_bytes) {
  try {
    std::istringstream stream(model_bytes);
    torch::jit::Module module = torch::jit::load(stream, at::kCPU);
    module.eval();
    return module;
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(role, " cannot be read: ", FirstLine(error.what())));
  }
}

/// Says where the network's weights now come from, as Recipe::init does.
absl::StatusOr<std::string> WarmStart(const ParityTrainingInput& input,
                                      const Recipe& recipe,
                                      torch::jit::Module* network) {
  if (input.start_model.empty()) return "scratch";
  PARM_ASSIGN_OR_RETURN(const torch::jit::Module source,
                        LoadModel("model to start from", input.start_model));
  if (CopyMatchingState(source, network) > 0) return recipe.init;
  if (recipe.init == "deployed") return "scratch";
  return absl::InvalidArgumentError(absl::StrCat(
      "model to start from has no weight of the same name and shape as the "
      "network (one packed with --half has none at all): ",
      recipe.init));
}

/// The model to ask about augmented samples; nullopt: its stored answers do.
absl::StatusOr<std::optional<torch::jit::Module>> ModelToAsk(
    const ParityTrainingInput& input, const Recipe& recipe) {
  if (!recipe.fresh_answers || recipe.augmentation.empty()) return std::nullopt;
  PARM_ASSIGN_OR_RETURN(torch::jit::Module deployed,
                        LoadModel("deployed model", input.deployed_model));
  // Others' may rely on the default layout, with view() for one.
  if (input.deployed_is_ours) UseChannelsLast(&deployed);
  return deployed;
}

}  // namespace

absl::StatusOr<TrainedModel> TrainParity(const ParityTrainingInput& input,
                                         const TrainingSettings& settings,
                                         ProgressReporter* progress) {
  PARM_ASSIGN_OR_RETURN(const ParityLoss loss,
                        ParseParityLoss(settings.recipe.loss));
  PARM_RETURN_IF_ERROR(CheckAugmentation(settings.recipe.augmentation,
                                         input.data->sample_shape));
  torch::manual_seed(settings.seed);
  PARM_ASSIGN_OR_RETURN(const NetworkSpec spec, ParityNetwork(input, settings));
  PARM_ASSIGN_OR_RETURN(torch::jit::Module network,
                        BuildArchitecture(input.architecture, spec));
  const Recipe& recipe = settings.recipe;
  PARM_ASSIGN_OR_RETURN(const std::string init,
                        WarmStart(input, recipe, &network));
  PARM_ASSIGN_OR_RETURN(const at::Tensor logits,
                        ViewAsTorch(*input.deployed_logits));
  PARM_ASSIGN_OR_RETURN(std::optional<torch::jit::Module> asked,
                        ModelToAsk(input, recipe));
  ParityTask task(input, loss, settings, logits, std::move(asked));
  PARM_ASSIGN_OR_RETURN(TrainedModel trained,
                        RunTraining(settings, &task, &network, progress));
  if (trained.interrupted) return trained;
  PARM_ASSIGN_OR_RETURN(trained.model_bytes, SerializeNetwork(&network));
  trained.init = init;
  return trained;
}

}  // namespace parm
