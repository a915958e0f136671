#include <algorithm>
#include <bit>
#include <cstring>

#include "encoder/kernels.h"

namespace parm {
namespace {

// Through memcpy, because tensors need not be aligned.
template <typename T>
T Load(const std::byte* values, size_t index) {
  T value;
  std::memcpy(&value, values + index * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

void WeightedSumPlain(absl::Span<const float> weights,
                      absl::Span<const std::byte* const> inputs, size_t count,
                      std::byte* out) {
  for (size_t i = 0; i < count; ++i) {
    float sum = weights[0] * Load<float>(inputs[0], i);
    for (size_t j = 1; j < inputs.size(); ++j) {
      sum += weights[j] * Load<float>(inputs[j], i);
    }
    std::memcpy(out + i * sizeof(float), &sum, sizeof(float));
  }
}

void RoundedMeanPlain(absl::Span<const std::byte* const> inputs, size_t count,
                      std::byte* out) {
  const auto num_inputs = static_cast<uint32_t>(inputs.size());
  for (size_t i = 0; i < count; ++i) {
    uint32_t sum = 0;
    for (const std::byte* input : inputs) sum += Load<uint8_t>(input, i);
    out[i] = static_cast<std::byte>((2 * sum + num_inputs) / (2 * num_inputs));
  }
}

void RoundedWeightedSumPlain(absl::Span<const float> weights, float offset,
                             absl::Span<const std::byte* const> inputs,
                             size_t count, std::byte* out) {
  for (size_t i = 0; i < count; ++i) {
    float sum = offset;
    for (size_t j = 0; j < inputs.size(); ++j) {
      sum += weights[j] * static_cast<float>(Load<uint8_t>(inputs[j], i));
    }
    out[i] = static_cast<std::byte>(std::clamp(sum + 0.5F, 0.0F, 255.0F));
  }
}

bool AllFinitePlain(const std::byte* values, size_t count) {
  constexpr uint32_t kExponent = 0x7F800000;
  for (size_t i = 0; i < count; ++i) {
    if ((Load<uint32_t>(values, i) & kExponent) == kExponent) return false;
  }
  return true;
}

}  // namespace parm
