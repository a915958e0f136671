#include "backends/served_bundle.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

constexpr int kWarmUpRuns = 3;

bool HasBatchDimension(const TensorSpec& spec) {
  return !spec.shape.empty() && spec.shape[0] == -1;
}

bool ShapeFits(absl::Span<const int64_t> pattern,
               absl::Span<const int64_t> shape) {
  return std::equal(pattern.begin(), pattern.end(), shape.begin(), shape.end(),
                    [](int64_t want, int64_t got) {
                      return want == -1 ? got >= 1 : want == got;
                    });
}

// A tensor of zeros; variable dimensions other than the batch are 1.
absl::StatusOr<ModelTensor> ZeroInput(const TensorSpec& spec,
                                      int64_t batch_size) {
  ModelTensor tensor{.datatype = spec.datatype, .shape = spec.shape};
  for (int64_t& dimension : tensor.shape) {
    if (dimension == -1) dimension = 1;
  }
  if (HasBatchDimension(spec)) tensor.shape[0] = batch_size;
  PARM_ASSIGN_OR_RETURN(const int64_t size,
                        NumBytes(tensor.datatype, tensor.shape));
  std::byte* data = nullptr;
  tensor.bytes = Buffer::Allocate(static_cast<size_t>(size), &data);
  if (size > 0) std::memset(data, 0, static_cast<size_t>(size));
  return tensor;
}

std::string DescribeSpec(const TensorSpec& spec) {
  return absl::StrCat("'", spec.name, "' ", DataTypeName(spec.datatype), " ",
                      ShapeToString(spec.shape));
}

}  // namespace

ServedBundle::ServedBundle(Bundle bundle, const Options& options)
    : bundle_(std::move(bundle)),
      inputs_(InputSpecs(bundle_.manifest)),
      outputs_(OutputSpecs(bundle_.manifest)),
      pace_(options.pace) {}

absl::StatusOr<std::unique_ptr<ServedBundle>> ServedBundle::Create(
    Bundle bundle, const ModelLoader& load_model, const Options& options) {
  auto served = std::unique_ptr<ServedBundle>(
      new ServedBundle(std::move(bundle), options));
  PARM_ASSIGN_OR_RETURN(
      served->model_,
      load_model({.path = served->bundle_.model_path,
                  .inputs = served->inputs_,
                  .outputs = served->outputs_,
                  .device = options.device,
                  .intra_op_threads = options.intra_op_threads}));
  PARM_RETURN_IF_ERROR(served->WarmUp());
  return served;
}

absl::Status ServedBundle::WarmUp() const {
  std::vector<int64_t> batch_sizes = {1};
  const int64_t k = bundle_.manifest.lineage().code().k();
  if (k > 1 && HasBatchDimension(inputs_[0])) batch_sizes.push_back(k);
  for (const int64_t batch_size : batch_sizes) {
    std::vector<ModelTensor> zeros;
    for (const TensorSpec& spec : inputs_) {
      PARM_ASSIGN_OR_RETURN(zeros.emplace_back(), ZeroInput(spec, batch_size));
    }
    for (int i = 0; i < kWarmUpRuns; ++i) {
      const auto outputs = Run(zeros);
      if (outputs.ok()) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "model does not do what its manifest says, tried on zeros with ",
          batch_size, " sample(s): ", bundle_.model_path, ": ",
          outputs.status().message()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ModelTensor>> ServedBundle::ArrangeInputs(
    absl::Span<const TensorSpec> specs, absl::Span<const Buffer> bytes) const {
  if (specs.size() != inputs_.size() || bytes.size() != specs.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("number of inputs differs: got ", specs.size(), ", want ",
                     inputs_.size()));
  }
  std::vector<ModelTensor> arranged;
  arranged.reserve(inputs_.size());
  int64_t batch_size = -1;
  for (const TensorSpec& want : inputs_) {
    // Counts agree, so if every wanted name is here no other one is.
    const auto got = std::find_if(
        specs.begin(), specs.end(),
        [&](const TensorSpec& spec) { return spec.name == want.name; });
    if (got == specs.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("input is missing: want ", DescribeSpec(want)));
    }
    if (got->datatype != want.datatype || !ShapeFits(want.shape, got->shape)) {
      return absl::InvalidArgumentError(
          absl::StrCat("input does not fit the model: got ", DescribeSpec(*got),
                       ", want ", DescribeSpec(want)));
    }
    if (HasBatchDimension(want)) {
      if (batch_size != -1 && got->shape[0] != batch_size) {
        return absl::InvalidArgumentError(
            absl::StrCat("batch sizes of the inputs differ: got ",
                         got->shape[0], " and ", batch_size));
      }
      batch_size = got->shape[0];
    }
    arranged.push_back(
        {.datatype = got->datatype,
         .shape = got->shape,
         .bytes = bytes[static_cast<size_t>(got - specs.begin())]});
  }
  return arranged;
}

absl::StatusOr<std::vector<ModelTensor>> ServedBundle::Run(
    absl::Span<const ModelTensor> inputs) const {
  PARM_ASSIGN_OR_RETURN(std::vector<ModelTensor> outputs, model_->Run(inputs));
  PARM_RETURN_IF_ERROR(CheckOutputs(outputs, BatchSize(inputs)));
  return outputs;
}

int64_t ServedBundle::BatchSize(absl::Span<const ModelTensor> inputs) const {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (HasBatchDimension(inputs_[i])) return inputs[i].shape[0];
  }
  return 1;
}

absl::Status ServedBundle::CheckOutputs(absl::Span<const ModelTensor> outputs,
                                        int64_t batch_size) const {
  if (outputs.size() != outputs_.size()) {
    return absl::InternalError(absl::StrCat("number of outputs differs: got ",
                                            outputs.size(), ", want ",
                                            outputs_.size()));
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorSpec& want = outputs_[i];
    const ModelTensor& got = outputs[i];
    const bool batch_fits = !HasBatchDimension(want) ||
                            (!got.shape.empty() && got.shape[0] == batch_size);
    if (got.datatype != want.datatype || !ShapeFits(want.shape, got.shape) ||
        !batch_fits) {
      return absl::InternalError(absl::StrCat(
          "output differs: got ", DataTypeName(got.datatype), " ",
          ShapeToString(got.shape), ", want ", DescribeSpec(want)));
    }
  }
  return absl::OkStatus();
}

}  // namespace parm
