#include "parity_trainer/architectures/layers.h"

#include "absl/strings/str_cat.h"
#include "torch/torch.h"

namespace parm {
namespace {

/// He's initialisation for layers that a ReLU follows; biases 0.
void AddWeights(torch::jit::Module* network, const std::string& name,
                at::IntArrayRef shape) {
  const at::Tensor weight = torch::empty(shape);
  torch::nn::init::kaiming_uniform_(weight, 0.0, torch::kFanIn, torch::kReLU);
  network->register_parameter(name + "_weight", weight.requires_grad_(), false);
  network->register_parameter(name + "_bias",
                              torch::zeros({shape[0]}).requires_grad_(), false);
}

}  // namespace

void AddLinear(torch::jit::Module* network, const std::string& name,
               int64_t inputs, int64_t outputs) {
  AddWeights(network, name, {outputs, inputs});
}

void AddConv3x3(torch::jit::Module* network, const std::string& name,
                int64_t inputs, int64_t outputs) {
  AddWeights(network, name, {outputs, inputs, 3, 3});
}

void AddNormalisation(torch::jit::Module* network, const NetworkSpec& spec) {
  network->register_attribute("input_scale", c10::FloatType::get(),
                              spec.input_scale);
  network->register_attribute("input_shift", c10::FloatType::get(),
                              spec.input_shift);
  network->define(
      absl::StrCat("def normalise(self, x):\n"
                   "    return torch.to(x, ",
                   static_cast<int>(at::kFloat),
                   ") * self.input_scale + self.input_shift\n"));
}

}  // namespace parm
