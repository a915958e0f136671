#include "tests/backends/torch/torch_modules.h"

#include <torch/script.h>
#include <torch/torch.h>

namespace parm {

void SaveLinearModule(const std::string& path, int inputs, int outputs) {
  torch::jit::Module module("Linear");
  const torch::Tensor rows = torch::arange(inputs).unsqueeze(1);
  const torch::Tensor columns = torch::arange(outputs).unsqueeze(0);
  module.register_parameter("weight", (rows + columns).to(torch::kFloat),
                            /*is_buffer=*/false);
  module.define(
      "def forward(self, x):\n  return torch.matmul(x, self.weight)\n");
  module.save(path);
}

void SaveModule(const std::string& path, const std::string& body) {
  torch::jit::Module module("Test");
  module.define("def forward(self, x):\n" + body);
  module.save(path);
}

}  // namespace parm
