#include "parity_trainer/architectures/cnn.h"

#include "absl/strings/str_cat.h"
#include "base/tensor.h"
#include "parity_trainer/architectures/layers.h"
#include "torch/script.h"

namespace parm {
namespace {

constexpr int64_t kMinSide = 8;

/// Side of a picture after one 3x3 convolution of stride 2 and padding 1.
int64_t Halved(int64_t side) { return (side + 1) / 2; }

}  // namespace

absl::StatusOr<torch::jit::Module> BuildCnn(const NetworkSpec& spec) {
  const std::vector<int64_t>& shape = spec.sample_shape;
  if (shape.size() != 3 || shape[0] < 1 || shape[1] < kMinSide ||
      shape[2] < kMinSide) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sample shape does not suit the cnn: got ", ShapeToString(shape),
        ", want [channels,height,width] with sides of at least ", kMinSide));
  }
  const int64_t height = Halved(Halved(Halved(shape[1])));
  const int64_t width = Halved(Halved(Halved(shape[2])));
  torch::jit::Module network("cnn");
  AddNormalisation(&network, spec);
  AddConv3x3(&network, "first", shape[0], 32);
  AddConv3x3(&network, "second", 32, 64);
  AddConv3x3(&network, "third", 64, 128);
  AddLinear(&network, "head", 128 * height * width, spec.num_outputs);
  network.define(R"(
def forward(self, x):
    x = self.normalise(x)
    x = torch.relu(torch.conv2d(x, self.first_weight, self.first_bias, [2, 2], [1, 1]))
    x = torch.relu(torch.conv2d(x, self.second_weight, self.second_bias, [2, 2], [1, 1]))
    x = torch.relu(torch.conv2d(x, self.third_weight, self.third_bias, [2, 2], [1, 1]))
    return torch.linear(torch.flatten(x, 1), self.head_weight, self.head_bias)
)");
  return network;
}

}  // namespace parm
