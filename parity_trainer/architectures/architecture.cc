#include "parity_trainer/architectures/architecture.h"

#include <array>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "parity_trainer/architectures/cnn.h"
#include "parity_trainer/architectures/mlp.h"
#include "parity_trainer/torch_tensor.h"
#include "torch/script.h"

namespace parm {
namespace {

struct Architecture {
  absl::string_view name;
  absl::StatusOr<torch::jit::Module> (*build)(const NetworkSpec& spec);
};

constexpr std::array<Architecture, 2> kArchitectures = {{
    {"mlp", BuildMlp},
    {"cnn", BuildCnn},
}};

}  // namespace

std::vector<std::string> ArchitectureNames() {
  std::vector<std::string> names;
  for (const Architecture& architecture : kArchitectures) {
    names.emplace_back(architecture.name);
  }
  return names;
}

absl::StatusOr<torch::jit::Module> BuildArchitecture(absl::string_view name,
                                                     const NetworkSpec& spec) {
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name != name) continue;
    try {
      return architecture.build(spec);
    } catch (const std::exception& error) {
      return absl::InternalError(
          absl::StrCat("network cannot be built: ", FirstLine(error.what())));
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown architecture: got \"", name, "\", want one of ",
                   absl::StrJoin(ArchitectureNames(), ", ")));
}

int CopyMatchingParameters(const torch::jit::Module& source,
                           torch::jit::Module* network) {
  const torch::NoGradGuard no_gradients;
  std::map<std::string, at::Tensor> sources;
  for (const auto& parameter : source.named_parameters()) {
    sources.emplace(parameter.name, parameter.value);
  }
  int copied = 0;
  for (const auto& parameter : network->named_parameters()) {
    const auto found = sources.find(parameter.name);
    if (found == sources.end() ||
        found->second.sizes() != parameter.value.sizes()) {
      continue;
    }
    parameter.value.copy_(found->second);
    ++copied;
  }
  return copied;
}

}  // namespace parm
