#include "tests/encoder/reference_schemes.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/status_macros.h"

namespace parm {
namespace {

template <typename T>
std::vector<double> ReadAs(const std::vector<std::byte>& bytes) {
  std::vector<double> values;
  for (size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes.data() + i, sizeof(T));
    values.push_back(static_cast<double>(value));
  }
  return values;
}

template <typename T>
std::vector<std::byte> WriteAs(const std::vector<double>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  for (size_t i = 0; i < values.size(); ++i) {
    const T value = static_cast<T>(values[i]);
    std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
  }
  return bytes;
}

// --- sum: slot j of k holds member j modulo the number of members.

std::vector<double> SumOfSlots(const CodeSpec& spec,
                               const std::vector<OwnedTensor>& members,
                               double (*term)(double)) {
  std::vector<double> sums(members[0].Values().size());
  for (size_t slot = 0; slot < static_cast<size_t>(spec.k); ++slot) {
    const std::vector<double> values = members[slot % members.size()].Values();
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += term(values[i]);
  }
  return sums;
}

std::vector<double> SumEncode(const CodeSpec& spec, int /*parity_index*/,
                              const std::vector<OwnedTensor>& members) {
  std::vector<double> values =
      SumOfSlots(spec, members, [](double value) { return value; });
  if (members[0].datatype == DataType::kUint8) {
    // std::round takes halves away from zero.
    for (double& value : values) value = std::round(value / spec.k);
  }
  return values;
}

std::vector<double> SumMagnitude(const CodeSpec& spec, int /*parity_index*/,
                                 const std::vector<OwnedTensor>& members) {
  // The query of UINT8 members is exact.
  if (members[0].datatype == DataType::kUint8) {
    return std::vector<double>(members[0].bytes.size());
  }
  return SumOfSlots(spec, members,
                    [](double value) { return std::abs(value); });
}

OwnedTensor SumAnswer(const CodeSpec& spec, int /*parity_index*/,
                      const OwnedTensor& parity,
                      const std::vector<OwnedTensor>& /*members*/,
                      const LinearModel& model) {
  // The query of UINT8 members is their mean.
  return model.Run(parity, parity.datatype == DataType::kUint8 ? spec.k : 1);
}

double SumAnswerRounding(const CodeSpec& spec, DataType datatype) {
  return datatype == DataType::kUint8 ? 0.5 * spec.k : 0;
}

// --- pack: members one after the other.

std::vector<double> PackEncode(const CodeSpec& /*spec*/, int /*parity_index*/,
                               const std::vector<OwnedTensor>& members) {
  std::vector<double> all;
  for (const OwnedTensor& member : members) {
    const std::vector<double> values = member.Values();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

std::vector<double> PackMagnitude(const CodeSpec& spec, int parity_index,
                                  const std::vector<OwnedTensor>& members) {
  return std::vector<double>(PackEncode(spec, parity_index, members).size());
}

OwnedTensor PackAnswer(const CodeSpec& /*spec*/, int /*parity_index*/,
                       const OwnedTensor& parity,
                       const std::vector<OwnedTensor>& /*members*/,
                       const LinearModel& model) {
  return model.Run(parity);
}

double NoRounding(const CodeSpec& /*spec*/, DataType /*datatype*/) { return 0; }

const ReferenceScheme kReferences[] = {
    {.scheme = "sum",
     .datatypes = {DataType::kFp32, DataType::kUint8},
     .sample_shape = {3, 5},
     .encode_tolerance = 1e-6,
     .encode = SumEncode,
     .magnitude = SumMagnitude,
     .answer = SumAnswer,
     .answer_rounding = SumAnswerRounding},
    {.scheme = "pack",
     .datatypes = {DataType::kFp32, DataType::kUint8, DataType::kInt64},
     .sample_shape = {3, 5},
     .encode_tolerance = 0,
     .encode = PackEncode,
     .magnitude = PackMagnitude,
     .answer = PackAnswer,
     .answer_rounding = NoRounding},
};

}  // namespace

OwnedTensor OwnedTensor::Zeros(DataType datatype, std::vector<int64_t> shape) {
  const absl::StatusOr<int64_t> size = NumBytes(datatype, shape);
  PARM_CHECK(size.ok());
  return {datatype, std::move(shape),
          std::vector<std::byte>(static_cast<size_t>(*size))};
}

OwnedTensor OwnedTensor::Of(DataType datatype, std::vector<int64_t> shape,
                            const std::vector<double>& values) {
  OwnedTensor tensor = Zeros(datatype, std::move(shape));
  const size_t want_bytes = tensor.bytes.size();
  switch (datatype) {
    case DataType::kFp32:
      tensor.bytes = WriteAs<float>(values);
      break;
    case DataType::kUint8:
      tensor.bytes = WriteAs<uint8_t>(values);
      break;
    case DataType::kInt64:
      tensor.bytes = WriteAs<int64_t>(values);
      break;
    default:
      PARM_CHECK(false);
  }
  PARM_CHECK(tensor.bytes.size() == want_bytes);
  return tensor;
}

std::vector<double> OwnedTensor::Values() const {
  switch (datatype) {
    case DataType::kFp32:
      return ReadAs<float>(bytes);
    case DataType::kUint8:
      return ReadAs<uint8_t>(bytes);
    case DataType::kInt64:
      return ReadAs<int64_t>(bytes);
    default:
      PARM_CHECK(false);
      return {};
  }
}

LinearModel::LinearModel(uint32_t seed, int64_t num_features,
                         int64_t num_classes)
    : num_features_(num_features), num_classes_(num_classes) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  weights_.resize(static_cast<size_t>(num_features * num_classes));
  for (double& weight : weights_) weight = normal(random);
}

OwnedTensor LinearModel::Run(const OwnedTensor& batch, double scale) const {
  const std::vector<double> inputs = batch.Values();
  const auto num_features = static_cast<size_t>(num_features_);
  const auto num_classes = static_cast<size_t>(num_classes_);
  const size_t num_samples = inputs.size() / num_features;
  std::vector<double> outputs(num_samples * num_classes);
  for (size_t sample = 0; sample < num_samples; ++sample) {
    for (size_t c = 0; c < num_classes; ++c) {
      double sum = 0;
      for (size_t f = 0; f < num_features; ++f) {
        sum +=
            weights_[c * num_features + f] * inputs[sample * num_features + f];
      }
      outputs[sample * num_classes + c] = scale * sum;
    }
  }
  return OwnedTensor::Of(DataType::kFp32,
                         {static_cast<int64_t>(num_samples), num_classes_},
                         outputs);
}

double LinearModel::MaxRowAbsSum() const {
  double largest = 0;
  const auto num_features = static_cast<size_t>(num_features_);
  for (size_t row = 0; row < weights_.size(); row += num_features) {
    double sum = 0;
    for (size_t f = 0; f < num_features; ++f)
      sum += std::abs(weights_[row + f]);
    largest = std::max(largest, sum);
  }
  return largest;
}

const ReferenceScheme* FindReference(const std::string& scheme) {
  for (const ReferenceScheme& reference : kReferences) {
    if (reference.scheme == scheme) return &reference;
  }
  return nullptr;
}

}  // namespace parm
