#include "parity_trainer/architectures/cnn.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/architectures/layers.h"
#include "torch/script.h"

namespace parm {
namespace {

constexpr int64_t kMinSide = 8;

struct Layer {
  const char* name;
  int64_t channels;
  int64_t stride;
};
constexpr Layer kLayers[] = {{"first", 32, 1},
                             {"second", 32, 2},
                             {"third", 64, 1},
                             {"fourth", 64, 2},
                             {"fifth", 128, 1}};

}  // namespace

absl::StatusOr<torch::jit::Module> BuildCnn(const NetworkSpec& spec) {
  PARM_RETURN_IF_ERROR(CheckPictureShape("cnn", spec, kMinSide));
  torch::jit::Module network("cnn");
  AddPictureInput(&network, spec);
  std::string forward = "def forward(self, x):\n    x = self.pictures(x)\n";
  int64_t channels = spec.sample_shape[0];
  for (const Layer& layer : kLayers) {
    const Convolution convolution = {.inputs = channels,
                                     .outputs = Widened(layer.channels, spec),
                                     .stride = layer.stride};
    absl::StrAppend(&forward, "    x = torch.relu(",
                    AddConvolution(&network, layer.name, convolution, "x"),
                    ")\n");
    channels = convolution.outputs;
  }
  AddPooledHeads(&network, spec, channels);
  network.define(forward + "    return self.pooled_answer(x)\n");
  return network;
}

}  // namespace parm
