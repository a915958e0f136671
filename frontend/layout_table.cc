#include "frontend/layout_table.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "frontend/model_catalog.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

UncodedReason WhyUncoded(const CatalogBundle& bundle, const Code* code,
                         absl::Span<const oip::Tensor> inputs,
                         std::string* text) {
  if (!bundle.batched) {
    *text = "dimension 0 of every input and output must be the batch (-1)";
    return UncodedReason::kNoBatchDimension;
  }
  if (code == nullptr) return UncodedReason::kNone;  // only batches use it
  if (inputs.size() != 1 || bundle.outputs.size() != 1) {
    *text = absl::StrCat("codes take one input and one output: got ",
                         inputs.size(), " and ", bundle.outputs.size());
    return UncodedReason::kSeveralTensors;
  }
  TensorSpec output = bundle.outputs[0];
  output.shape[0] = 1;
  for (const absl::Status& status :
       {code->ParityQuerySpec(inputs[0].spec, code->spec().k).status(),
        NumElements(output.shape).status(),
        code->ParityOutputSpec(output).status()}) {
    if (status.ok()) continue;
    *text = std::string(status.message());
    return UncodedReason::kNotSupported;
  }
  return UncodedReason::kNone;
}

}  // namespace

Layout LayoutTable::Find(const CatalogBundle& bundle, const std::string& model,
                         uint8_t unit, const Code* code,
                         absl::Span<const oip::Tensor> inputs) {
  text_.clear();
  absl::StrAppend(&text_, Raw(bundle.key), "/", int{unit});
  for (const oip::Tensor& input : inputs) {
    absl::StrAppend(&text_, ";", static_cast<int>(input.spec.datatype));
    for (size_t i = 1; i < input.spec.shape.size(); ++i) {
      absl::StrAppend(&text_, ",", input.spec.shape[i]);
    }
  }
  const auto newer = newer_.find(text_);
  if (newer != newer_.end()) return newer->second;
  const auto older = older_.find(text_);
  const bool known = older != older_.end();
  const Layout layout =
      known ? older->second : NewLayout(bundle, model, unit, code, inputs);
  if (known) older_.erase(older);
  if (newer_.size() >= kMaxLayouts / 2) {
    num_forgotten_ += older_.size();
    older_ = std::exchange(newer_, {});
  }
  newer_.emplace(text_, layout);
  return layout;
}

Layout LayoutTable::NewLayout(const CatalogBundle& bundle,
                              const std::string& model, uint8_t unit,
                              const Code* code,
                              absl::Span<const oip::Tensor> inputs) {
  std::string why;
  const UncodedReason reason = WhyUncoded(bundle, code, inputs, &why);
  Layout layout{.uncoded = code == nullptr ? UncodedReason::kNone : reason};
  if (bundle.batched) {
    // Around after 2^31 layouts: nobody waits for a batch of the first then.
    last_signature_ = last_signature_ % (core::kUncodedLayout - 1) + 1;
    layout.signature = last_signature_;
    if (layout.uncoded != UncodedReason::kNone) {
      layout.signature |= core::kUncodedLayout;
    }
  }
  if (reason != UncodedReason::kNone && logged_.emplace(model, unit).second) {
    spdlog::warn("queries of model '{}' are not coded{}: {}", model,
                 bundle.batched ? "" : " and go alone", why);
  }
  return layout;
}

}  // namespace parm
