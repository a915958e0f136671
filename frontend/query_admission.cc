#include "frontend/query_admission.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/core/event.h"
#include "frontend/tensor_rows.h"

namespace parm {
namespace {

void NoteUse(ModelUse* use) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  use->last_query_ms = std::max(use->last_query_ms,
                                static_cast<uint64_t>(now / Milliseconds(1)));
}

}  // namespace

absl::Status QueryAdmission::CheckSize(ModelId model,
                                       const ValidQuery& query) const {
  // The core counts inputs alone; outputs wait for siblings and decodes too.
  if (parts_.buffers->bytes() + query.bytes >
      parts_.options->core.max_buffered_bytes) {
    ++parts_.counters->queries_over_memory;
    return absl::ResourceExhaustedError(
        "parm-frontend: too many bytes of queries and answers are held");
  }
  const absl::Status sendable = parts_.directory->CheckTensorBytes(
      model, LargestTensor(query.inputs.tensors));
  if (!sendable.ok()) ++parts_.counters->queries_too_large;
  return sendable;
}

Layout QueryAdmission::LayoutOf(const CatalogBundle& bundle, bool coded,
                                uint8_t unit, const TensorSet& inputs) const {
  // Whatever they mean to the server: such a query goes alone, uncoded.
  if (inputs.context != nullptr && !inputs.context->parameters.empty()) {
    return {.uncoded =
                coded ? UncodedReason::kParameters : UncodedReason::kNone};
  }
  const Layout layout = parts_.catalog->LayoutOf(bundle, inputs.tensors, unit);
  // One such input would spoil the parity answer of its siblings.
  if (coded && layout.uncoded == UncodedReason::kNone &&
      !AllFinite(inputs.tensors[0])) {
    ++parts_.counters->inputs_not_finite;
    return {.signature = layout.signature | core::kUncodedLayout,
            .uncoded = UncodedReason::kNotFinite};
  }
  return layout;
}

absl::StatusOr<AdmittedQuery> QueryAdmission::Admit(oip::InferRequest request,
                                                    Time arrived) const {
  const FrontendOptions& options = *parts_.options;
  LoopCounters& counters = *parts_.counters;
  const absl::StatusOr<ModelId> model =
      parts_.directory->Find(request.model_name, request.model_version);
  if (!model.ok()) {
    ++counters.queries_not_found;
    return model.status();
  }
  NoteUse(&counters.use[Raw(*model)]);
  const CatalogBundle* bundle = parts_.catalog->Current(*model);
  if (bundle == nullptr) {
    ++counters.queries_without_worker;
    return absl::UnavailableError(
        absl::StrCat("parm-frontend: no worker serves model '",
                     request.model_name, "' yet"));
  }
  const core::ModelOptions& configured = options.core.models[Raw(*model)];
  AdmittedQuery admitted{
      .about = {.id = std::move(request.id),
                .model = *model,
                .bundle = bundle->key},
      .bundle = bundle,
      .further_attempt =
          !request.late_in_stream &&
          SaysFurtherAttempt(request.headers, options.attempt_headers)};
  std::shared_ptr<const oip::RequestContext> context;
  if (!options.oip.servers.empty()) {
    context = ContextOf(request, admitted.about.id);
  }
  absl::StatusOr<SequenceStep> step = SequenceStepOf(request.parameters);
  if (!step.ok()) {
    ++counters.queries_invalid;
    return step.status();
  }
  admitted.step = *std::move(step);
  absl::StatusOr<ValidQuery> query =
      ValidateQuery(std::move(request), *bundle, configured.max_batch_size,
                    configured.deadline);
  if (!query.ok()) {
    ++counters.queries_invalid;
    return query.status();
  }
  PARM_RETURN_IF_ERROR(CheckSize(*model, *query));
  if (parts_.capture != nullptr) {
    parts_.capture->Offer(*model, *bundle, query->inputs, arrived);
  }
  query->inputs.context = std::move(context);
  admitted.query = *std::move(query);
  admitted.about.rows = admitted.query.inputs.rows;
  admitted.about.deadline = admitted.query.deadline;
  admitted.unit = parts_.units->UnitOf(*model);
  admitted.layout = LayoutOf(*bundle, configured.code != nullptr, admitted.unit,
                             admitted.query.inputs);
  ++counters.uncoded[Raw(*model)][static_cast<size_t>(admitted.layout.uncoded)];
  return admitted;
}

}  // namespace parm
