#include "frontend/query_capture.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/tensor_rows.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

SampleLayout LayoutOf(const oip::Tensor& input) {
  return {.datatype = input.spec.datatype,
          .shape = {input.spec.shape.begin() + 1, input.spec.shape.end()}};
}

std::string ToString(const SampleLayout& layout) {
  return absl::StrCat(DataTypeName(layout.datatype), " ",
                      ShapeToString(layout.shape));
}

}  // namespace

absl::StatusOr<std::unique_ptr<QueryCapture>> QueryCapture::Create(
    const std::vector<CaptureModel>& models,
    const CaptureWriterOptions& writer) {
  std::vector<std::optional<Model>> captured(models.size());
  std::vector<CaptureTarget> targets;
  for (size_t i = 0; i < models.size(); ++i) {
    const CaptureOptions& options = models[i].options;
    if (options.directory.empty()) continue;
    PARM_ASSIGN_OR_RETURN(std::unique_ptr<CaptureDirectory> directory,
                          CaptureDirectory::Open(options.directory));
    captured[i].emplace(Model{.name = models[i].name,
                              .options = options,
                              .sampler = CaptureSampler(options),
                              .target = targets.size(),
                              .layout = directory->layout(),
                              .rows = directory->rows(),
                              .bytes = directory->bytes()});
    spdlog::info("a sample of the queries of model '{}' is captured in {}",
                 models[i].name, directory->path());
    targets.push_back(
        {.name = models[i].name, .directory = std::move(directory)});
  }
  if (targets.empty()) return nullptr;
  return std::unique_ptr<QueryCapture>(
      new QueryCapture(std::move(captured), std::move(targets), writer));
}

void QueryCapture::Offer(ModelId model, const CatalogBundle& bundle,
                         const TensorSet& inputs, Time now) {
  std::optional<Model>& captured = models_[Raw(model)];
  if (!captured.has_value() || !captured->sampler.Draw()) return;
  const CaptureOutcome outcome = Consider(&*captured, bundle, inputs, now);
  ++captured->outcomes[static_cast<size_t>(outcome)];
}

CaptureOutcome QueryCapture::Consider(Model* model, const CatalogBundle& bundle,
                                      const TensorSet& inputs, Time now) {
  const std::string why_not = WhyNot(*model, bundle, inputs);
  if (!why_not.empty()) {
    if (!std::exchange(model->unsupported_logged, true)) {
      spdlog::warn("queries of model '{}' are not captured: {}", model->name,
                   why_not);
    }
    return CaptureOutcome::kNotSupported;
  }
  const oip::Tensor& input = inputs.tensors[0];
  const auto rows = static_cast<uint64_t>(inputs.rows);
  const CaptureOptions& options = model->options;
  if (model->rows + rows > options.max_queries ||
      model->bytes + input.data.size() > options.max_bytes) {
    if (!std::exchange(model->bound_logged, true)) {
      spdlog::info(
          "capture of model '{}' has reached its bound: {} queries, "
          "{} bytes in {}",
          model->name, model->rows, model->bytes, options.directory);
    }
    return CaptureOutcome::kBound;
  }
  if (!model->sampler.Allow(now)) return CaptureOutcome::kOverRate;
  if (!AllFinite(input)) return CaptureOutcome::kNotFinite;
  SampleLayout layout = LayoutOf(input);
  const CapturePush pushed = writer_.Push({.target = model->target,
                                           .layout = layout,
                                           .rows = inputs.rows,
                                           .data = input.data});
  if (pushed == CapturePush::kQueueFull) return CaptureOutcome::kQueueFull;
  if (pushed == CapturePush::kFailed) return CaptureOutcome::kFailed;
  model->layout = std::move(layout);
  model->rows += rows;
  model->bytes += input.data.size();
  return CaptureOutcome::kTaken;
}

std::string QueryCapture::WhyNot(const Model& model,
                                 const CatalogBundle& bundle,
                                 const TensorSet& inputs) const {
  if (!bundle.batched) {
    return "dimension 0 of every input and output must be the batch (-1)";
  }
  if (inputs.tensors.size() != 1 || bundle.outputs.size() != 1) {
    return absl::StrCat("parity models have one input and one output: got ",
                        inputs.tensors.size(), " and ", bundle.outputs.size());
  }
  const oip::Tensor& input = inputs.tensors[0];
  if (input.spec.datatype != DataType::kFp32 &&
      input.spec.datatype != DataType::kUint8) {
    return absl::StrCat("parm-train reads FP32 and UINT8: got ",
                        DataTypeName(input.spec.datatype));
  }
  const SampleLayout layout = LayoutOf(input);
  if (model.layout.has_value() && *model.layout != layout) {
    return absl::StrCat("all of one directory are alike: got ",
                        ToString(layout), ", want ", ToString(*model.layout));
  }
  return "";
}

std::vector<CaptureCounters> QueryCapture::counters() const {
  const std::vector<CaptureWritten> written = writer_.written();
  std::vector<CaptureCounters> counters;
  for (const std::optional<Model>& model : models_) {
    if (!model.has_value()) continue;
    counters.push_back({.model = model->name,
                        .outcomes = model->outcomes,
                        .written = written[model->target]});
  }
  return counters;
}

}  // namespace parm
