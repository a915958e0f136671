#include "parity_trainer/architectures/architecture.h"

#include <array>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "parity_trainer/architectures/cnn.h"
#include "parity_trainer/architectures/mlp.h"
#include "parity_trainer/architectures/resnet.h"
#include "parity_trainer/torch_tensor.h"
#include "torch/script.h"

namespace parm {
namespace {

struct Architecture {
  absl::string_view name;
  absl::StatusOr<torch::jit::Module> (*build)(const NetworkSpec& spec);
};

constexpr std::array<Architecture, 8> kArchitectures = {{
    {"mlp", BuildMlp},
    {"cnn", BuildCnn},
    {"cnn4", BuildCnn4},
    {"cnn7", BuildCnn7},
    {"resnet20", BuildResnet20},
    {"resnet32", BuildResnet32},
    {"resnet56", BuildResnet56},
    {"resnet18", BuildResnet18},
}};

/// Whether `target` is `source` with a dimension of heads before the others.
bool IsSeveralOf(const at::Tensor& target, const at::Tensor& source) {
  return target.dim() == source.dim() + 1 &&
         target.sizes().slice(1) == source.sizes();
}

int CopyMatching(const std::map<std::string, at::Tensor>& sources,
                 const std::string& name, const at::Tensor& target) {
  const auto found = sources.find(name);
  if (found == sources.end() || (found->second.sizes() != target.sizes() &&
                                 !IsSeveralOf(target, found->second))) {
    return 0;
  }
  target.copy_(found->second);  // broadcasts over heads
  return 1;
}

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

int CopyMatchingState(const torch::jit::Module& source,
                      torch::jit::Module* network) {
  const torch::NoGradGuard no_gradients;
  std::map<std::string, at::Tensor> sources;
  for (const auto& parameter : source.named_parameters()) {
    sources.emplace(parameter.name, parameter.value);
  }
  for (const auto& buffer : source.named_buffers()) {
    sources.emplace(buffer.name, buffer.value);
  }
  int copied = 0;
  for (const auto& parameter : network->named_parameters()) {
    copied += CopyMatching(sources, parameter.name, parameter.value);
  }
  for (const auto& buffer : network->named_buffers()) {
    copied += CopyMatching(sources, buffer.name, buffer.value);
  }
  return copied;
}

}  // namespace parm
