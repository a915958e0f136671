#include "parity_trainer/gradient_exchange.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"

namespace parm {
namespace {

constexpr size_t kSummaryValues = 2;

at::Tensor View(float* values, const at::Tensor& like) {
  return torch::from_blob(values, like.sizes());
}

}  // namespace

ExampleRange PartOf(ExampleRange whole, int part, int parts) {
  const int64_t begin = whole.count * part / parts;
  const int64_t end = whole.count * (part + 1) / parts;
  return {.begin = whole.begin + begin, .count = end - begin};
}

GradientExchange::GradientExchange(TrainingPeers* peers,
                                   std::vector<at::Tensor> parameters)
    : peers_(peers), parameters_(std::move(parameters)) {
  size_t size = kSummaryValues;
  for (const at::Tensor& parameter : parameters_) {
    size += static_cast<size_t>(parameter.numel());
  }
  values_.resize(size);
}

absl::StatusOr<StepSummary> GradientExchange::Exchange(const StepSummary& own) {
  const torch::NoGradGuard no_gradients;
  float* at = values_.data();
  for (const at::Tensor& parameter : parameters_) {
    const at::Tensor& gradient = parameter.grad();
    // A peer without examples in this step has none.
    if (gradient.defined()) {
      View(at, parameter).copy_(gradient);
    } else {
      std::fill_n(at, parameter.numel(), 0.0F);
    }
    at += parameter.numel();
  }
  at[0] = static_cast<float>(own.loss);
  at[1] = own.interrupted ? 1 : 0;
  PARM_RETURN_IF_ERROR(peers_->Sum(absl::MakeSpan(values_)));
  const StepSummary all = {.loss = at[0], .interrupted = at[1] > 0};
  at = values_.data();
  for (const at::Tensor& parameter : parameters_) {
    at::Tensor& gradient = parameter.mutable_grad();
    if (!gradient.defined()) gradient = torch::empty_like(parameter);
    gradient.copy_(View(at, parameter));
    at += parameter.numel();
  }
  return all;
}

absl::Status AverageBuffers(TrainingPeers* peers,
                            const torch::jit::Module& network) {
  const torch::NoGradGuard no_gradients;
  std::vector<float> values;
  std::vector<at::Tensor> buffers;
  for (const at::Tensor& buffer : network.buffers()) {
    // Counters are the same everywhere.
    if (!buffer.is_floating_point()) continue;
    buffers.push_back(buffer);
    const at::Tensor flat = buffer.to(at::kFloat).contiguous();
    values.insert(values.end(), flat.data_ptr<float>(),
                  flat.data_ptr<float>() + flat.numel());
  }
  if (buffers.empty()) return absl::OkStatus();
  PARM_RETURN_IF_ERROR(peers->Sum(absl::MakeSpan(values)));
  float* at = values.data();
  for (const at::Tensor& buffer : buffers) {
    buffer.copy_(View(at, buffer) / static_cast<double>(peers->size()));
    at += buffer.numel();
  }
  return absl::OkStatus();
}

}  // namespace parm
