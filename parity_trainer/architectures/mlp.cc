#include "parity_trainer/architectures/mlp.h"

#include "base/status_macros.h"
#include "base/tensor.h"
#include "parity_trainer/architectures/layers.h"
#include "torch/script.h"

namespace parm {
namespace {

constexpr int64_t kFirstWidth = 200;
constexpr int64_t kSecondWidth = 100;

}  // namespace

absl::StatusOr<torch::jit::Module> BuildMlp(const NetworkSpec& spec) {
  PARM_ASSIGN_OR_RETURN(const int64_t inputs, NumElements(spec.sample_shape));
  if (inputs == 0) return absl::InvalidArgumentError("samples are empty");
  const int64_t first = Widened(kFirstWidth, spec);
  const int64_t second = Widened(kSecondWidth, spec);
  torch::jit::Module network("mlp");
  AddPictureInput(&network, spec);
  // A cell has its share of the inputs.
  AddLinear(&network, "first", inputs / NumCells(spec), first);
  AddLinear(&network, "second", first, second);
  AddHeads(&network, spec, second);
  network.define(R"(
def forward(self, x):
    x = torch.flatten(self.pictures(x), 1)
    x = torch.relu(torch.linear(x, self.first_weight, self.first_bias))
    x = torch.relu(torch.linear(x, self.second_weight, self.second_bias))
    return self.answer(x)
)");
  return network;
}

}  // namespace parm
