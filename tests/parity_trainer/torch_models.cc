#include "tests/parity_trainer/torch_models.h"

#include <sstream>

#include "torch/script.h"
#include "torch/torch.h"

namespace parm {
namespace {

std::string Save(const torch::jit::Module& module) {
  std::ostringstream stream;
  module.save(stream);
  return stream.str();
}

}  // namespace

std::string LinearModelBytes(int64_t outputs,
                             const std::vector<float>& weight) {
  torch::jit::Module module("linear");
  module.register_parameter("weight", torch::tensor(weight).view({outputs, -1}),
                            false);
  module.define(R"(
def forward(self, x):
    return torch.linear(torch.flatten(torch.to(x, 6), 1), self.weight)
)");
  return Save(module);
}

std::string ModelBytes(const std::string& body) {
  torch::jit::Module module("test");
  module.define("def forward(self, x):\n    " + body + "\n");
  return Save(module);
}

}  // namespace parm
