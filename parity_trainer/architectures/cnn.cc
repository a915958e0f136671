#include "parity_trainer/architectures/cnn.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "base/status_macros.h"
#include "parity_trainer/architectures/layers.h"
#include "torch/script.h"

namespace parm {
namespace {

constexpr int64_t kMinSide = 8;

struct Layer {
  const char* name;
  int64_t channels;
  int64_t stride = 1;
  int64_t side = 3;
  bool adds = false;  // to its input, at first nothing
};
constexpr Layer kFive[] = {{"first", 32, 1},
                           {"second", 32, 2},
                           {"third", 64, 1},
                           {"fourth", 64, 2},
                           {"fifth", 128, 1}};
constexpr Layer kSeven[] = {{"first", 32, 1},
                            {"second", 32, 2},
                            {"third", 64, 1},
                            {.name = "third_b", .channels = 64, .adds = true},
                            {"fourth", 64, 2},
                            {"fifth", 128, 1},
                            {.name = "fifth_b", .channels = 128, .adds = true}};
constexpr Layer kFour[] = {{"first", 32, 2, 5},
                           {"second", 64, 1},
                           {"third", 64, 2},
                           {"fourth", 128, 1}};

absl::StatusOr<torch::jit::Module> Build(const char* name,
                                         absl::Span<const Layer> layers,
                                         const NetworkSpec& spec) {
  PARM_RETURN_IF_ERROR(CheckPictureShape(name, spec, kMinSide));
  torch::jit::Module network(name);
  AddPictureInput(&network, spec);
  std::string forward = "def forward(self, x):\n    x = self.pictures(x)\n";
  int64_t channels = spec.sample_shape[0];
  Strides strides(spec);
  for (const Layer& layer : layers) {
    Convolution convolution = {.inputs = channels,
                               .outputs = Widened(layer.channels, spec),
                               .side = layer.side};
    if (layer.adds) convolution.first_gain = 0;
    strides.Set(layer.stride, &convolution);
    absl::StrAppend(&forward, "    x = torch.relu(", layer.adds ? "x + " : "",
                    AddConvolution(&network, layer.name, convolution, "x"),
                    ")\n");
    channels = convolution.outputs;
  }
  AddPooledHeads(&network, spec, channels);
  network.define(forward + "    return self.pooled_answer(x)\n");
  return network;
}

}  // namespace

absl::StatusOr<torch::jit::Module> BuildCnn(const NetworkSpec& spec) {
  return Build("cnn", kFive, spec);
}

absl::StatusOr<torch::jit::Module> BuildCnn7(const NetworkSpec& spec) {
  return Build("cnn7", kSeven, spec);
}

absl::StatusOr<torch::jit::Module> BuildCnn4(const NetworkSpec& spec) {
  return Build("cnn4", kFour, spec);
}

}  // namespace parm
