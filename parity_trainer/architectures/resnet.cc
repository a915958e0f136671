#include "parity_trainer/architectures/resnet.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/architectures/layers.h"
#include "torch/script.h"

namespace parm {
namespace {

constexpr int64_t kMinSide = 8;

struct Design {
  const char* name;
  std::vector<int64_t> stages;  // channels; each but the first halves the sides
  int blocks;                   // per stage
};

/// relu(x + two convolutions of x), as statements; `of_input` is the
/// first of the two.
std::string AddBlock(torch::jit::Module* network, const std::string& name,
                     const Convolution& of_input) {
  const std::string first = AddConvolution(network, name + "_a", of_input, "x");
  const std::string second = AddConvolution(
      network, name + "_b",
      {.inputs = of_input.outputs, .outputs = of_input.outputs}, "y");
  std::string shortcut = "x";
  if (of_input.row_stride != 1 || of_input.column_stride != 1 ||
      of_input.inputs != of_input.outputs) {
    Convolution pointwise = of_input;
    pointwise.side = 1;
    shortcut = AddConvolution(network, name + "_shortcut", pointwise, "x");
  }
  return absl::StrCat("    y = torch.relu(", first, ")\n    x = torch.relu(",
                      second, " + ", shortcut, ")\n");
}

absl::StatusOr<torch::jit::Module> Build(const Design& design,
                                         const NetworkSpec& spec) {
  PARM_RETURN_IF_ERROR(CheckPictureShape(design.name, spec, kMinSide));
  torch::jit::Module network(design.name);
  AddPictureInput(&network, spec);
  int64_t channels = Widened(design.stages[0], spec);
  Strides strides(spec);
  std::string forward = absl::StrCat(
      "def forward(self, x):\n    x = self.pictures(x)\n    x = torch.relu(",
      AddConvolution(&network, "first",
                     {.inputs = spec.sample_shape[0], .outputs = channels},
                     "x"),
      ")\n");
  for (size_t stage = 0; stage < design.stages.size(); ++stage) {
    const int64_t outputs = Widened(design.stages[stage], spec);
    for (int block = 0; block < design.blocks; ++block) {
      Convolution first = {.inputs = channels, .outputs = outputs};
      strides.Set(block == 0 && stage > 0 ? 2 : 1, &first);
      forward +=
          AddBlock(&network, absl::StrCat("stage", stage, "_", block), first);
      channels = outputs;
    }
  }
  AddPooledHeads(&network, spec, channels);
  network.define(forward + "    return self.pooled_answer(x)\n");
  return network;
}

}  // namespace

absl::StatusOr<torch::jit::Module> BuildResnet18(const NetworkSpec& spec) {
  return Build({"resnet18", {64, 128, 256, 512}, 2}, spec);
}

absl::StatusOr<torch::jit::Module> BuildResnet20(const NetworkSpec& spec) {
  return Build({"resnet20", {16, 32, 64}, 3}, spec);
}

absl::StatusOr<torch::jit::Module> BuildResnet32(const NetworkSpec& spec) {
  return Build({"resnet32", {16, 32, 64}, 5}, spec);
}

absl::StatusOr<torch::jit::Module> BuildResnet56(const NetworkSpec& spec) {
  return Build({"resnet56", {16, 32, 64}, 9}, spec);
}

}  // namespace parm
