#include "parity_trainer/model_runner.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/group_encoder.h"
#include "parity_trainer/torch_tensor.h"
#include "torch/csrc/jit/runtime/graph_executor.h"
#include "torch/script.h"

namespace parm {
namespace {

constexpr int64_t kBatch = 500;

}  // namespace

struct ModelRunner::Impl {
  mutable torch::jit::Module module;
};

ModelRunner::ModelRunner(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ModelRunner::ModelRunner(ModelRunner&&) noexcept = default;
ModelRunner& ModelRunner::operator=(ModelRunner&&) noexcept = default;
ModelRunner::~ModelRunner() = default;

absl::StatusOr<ModelRunner> ModelRunner::Create(
    const std::string& model_bytes) {
  auto impl = std::make_unique<Impl>();
  // As the worker runs it, so that what is measured is what is served.
  torch::jit::getProfilingMode() = false;
  try {
    std::istringstream stream(model_bytes);
    impl->module = torch::jit::load(stream, at::kCPU);
    impl->module.eval();
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a TorchScript model: ", FirstLine(error.what())));
  }
  return ModelRunner(std::move(impl));
}

absl::StatusOr<HostTensor> ModelRunner::Run(const HostTensor& input) const {
  PARM_ASSIGN_OR_RETURN(const at::Tensor wire, ViewAsTorch(input));
  try {
    const torch::NoGradGuard no_gradients;
    const c10::IValue answer = impl_->module.forward({wire});
    if (!answer.isTensor()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "model answers no single tensor but ", answer.tagKind()));
    }
    return ToHost(answer.toTensor());
  } catch (const std::exception& error) {
    // A TorchScript error names its cause in the last line that is not empty.
    absl::string_view message =
        absl::StripAsciiWhitespace(absl::string_view(error.what()));
    const size_t last_line = message.rfind('\n');
    if (last_line != absl::string_view::npos) {
      message.remove_prefix(last_line + 1);
    }
    return absl::InvalidArgumentError(
        absl::StrCat("model refuses an input of ", DataTypeName(input.datatype),
                     ShapeToString(input.shape), ": ", message));
  }
}

absl::StatusOr<HostTensor> ModelRunner::RunAll(const Dataset& data,
                                               const Split& split,
                                               DataType datatype) const {
  HostTensor logits{.datatype = DataType::kFp32};
  std::vector<int64_t> indices;
  for (int64_t begin = 0; begin < split.size(); begin += kBatch) {
    indices.resize(static_cast<size_t>(std::min(kBatch, split.size() - begin)));
    std::iota(indices.begin(), indices.end(), begin);
    PARM_ASSIGN_OR_RETURN(const HostTensor answer,
                          Run(GatherSamples(data, split, indices, datatype)));
    if (answer.shape.size() != 2 ||
        answer.shape[0] != static_cast<int64_t>(indices.size()) ||
        (begin > 0 && answer.shape[1] != logits.shape[1])) {
      return absl::InvalidArgumentError(absl::StrCat(
          "model output has the wrong shape: got ", ShapeToString(answer.shape),
          ", want [", indices.size(), ",classes]"));
    }
    for (const float logit : answer.floats()) {
      if (!std::isfinite(logit)) {
        return absl::DataLossError(absl::StrCat(
            "model output is not finite for a sample from ", begin, " on"));
      }
    }
    logits.shape = {split.size(), answer.shape[1]};
    logits.bytes.append(answer.bytes);
  }
  return logits;
}

void SetNumThreads(int num_threads) { at::set_num_threads(num_threads); }

}  // namespace parm
