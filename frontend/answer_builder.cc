#include "frontend/answer_builder.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/tensor_rows.h"

namespace parm {
namespace {

constexpr int kRetryAfterSeconds = 1;

QueryReply Labelled(const std::string& model_name, const AnsweredQuery& query,
                    const CatalogBundle& bundle, core::AnswerSource source) {
  QueryReply reply;
  reply.source = std::string(SourceName(source));
  reply.response.model_name = model_name;
  reply.response.model_version = bundle.version;
  reply.response.id = query.id;
  return reply;
}

}  // namespace

absl::string_view SourceName(core::AnswerSource source) {
  switch (source) {
    case core::AnswerSource::kExact:
      return "exact";
    case core::AnswerSource::kHedged:
      return "hedged";
    case core::AnswerSource::kReconstructed:
      return "reconstructed";
    case core::AnswerSource::kExit:
      return "exit";
    case core::AnswerSource::kBackup:
      return "backup";
    case core::AnswerSource::kDefault:
      return "default";
    case core::AnswerSource::kError:
      return "error";
  }
  return "error";
}

absl::StatusOr<QueryReply> OutputReply(const std::string& model_name,
                                       const AnsweredQuery& query,
                                       const CatalogBundle& bundle,
                                       const core::AnswerQuery& answer,
                                       const TensorSet& outputs) {
  QueryReply reply = Labelled(model_name, query, bundle, answer.source);
  for (const oip::Tensor& tensor : outputs.tensors) {
    absl::StatusOr<oip::Tensor> rows =
        bundle.batched
            ? SliceRows(tensor, answer.first_sample, answer.num_samples)
            : tensor;
    if (!rows.ok()) {
      return absl::InternalError(
          absl::StrCat("parm-frontend: ", rows.status().message()));
    }
    reply.response.outputs.push_back(*std::move(rows));
  }
  reply.confidence = answer.confidence;
  return reply;
}

absl::Status CheckDefault(const CatalogBundle& bundle,
                          absl::Span<const float> values) {
  TensorSpec spec = bundle.outputs.at(0);
  if (bundle.batched) spec.shape[0] = 1;
  const absl::StatusOr<int64_t> wanted = NumElements(spec.shape);
  if (bundle.outputs.size() == 1 && spec.datatype == DataType::kFp32 &&
      wanted.ok() && *wanted == static_cast<int64_t>(values.size())) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "the configured default is not one FP32 sample of the model's only "
      "output: got ",
      values.size(), " values, want ", DataTypeName(spec.datatype), " ",
      ShapeToString(spec.shape), " of ", bundle.outputs.size(),
      bundle.outputs.size() == 1 ? " output" : " outputs"));
}

absl::StatusOr<QueryReply> DefaultReply(const std::string& model_name,
                                        const AnsweredQuery& query,
                                        const CatalogBundle& bundle,
                                        absl::Span<const float> values) {
  const absl::Status fits = CheckDefault(bundle, values);
  if (!fits.ok()) {
    return absl::DeadlineExceededError(
        absl::StrCat("parm-frontend: no answer in time, and ", fits.message()));
  }
  TensorSpec spec = bundle.outputs[0];
  QueryReply reply =
      Labelled(model_name, query, bundle, core::AnswerSource::kDefault);
  if (bundle.batched) spec.shape[0] = query.rows;
  const size_t row_bytes = values.size() * sizeof(float);
  std::byte* out = nullptr;
  Buffer data =
      Buffer::Allocate(static_cast<size_t>(query.rows) * row_bytes, &out);
  for (int64_t row = 0; row < query.rows; ++row) {
    std::memcpy(out + static_cast<size_t>(row) * row_bytes, values.data(),
                row_bytes);
  }
  reply.response.outputs.push_back(
      {.spec = std::move(spec), .data = std::move(data)});
  return reply;
}

QueryReply RefusalReply(const absl::Status& why) {
  QueryReply reply{.status = why};
  if (absl::IsUnavailable(why) || absl::IsResourceExhausted(why)) {
    reply.retry_after_s = kRetryAfterSeconds;
  }
  return reply;
}

QueryReply ErrorReply(const core::ModelOptions& model,
                      const AnsweredQuery& query, core::AnswerError error,
                      absl::string_view worker_text,
                      absl::StatusCode worker_code) {
  switch (error) {
    case core::AnswerError::kDeadlineExceeded:
      return {.status = absl::DeadlineExceededError(
                  absl::StrCat("parm-frontend: no answer by the deadline of ",
                               ToMicroseconds(query.deadline), " us"))};
    case core::AnswerError::kNoWorker:
      return {
          .status = absl::UnavailableError(absl::StrCat(
              "parm-frontend: no live worker serves model '", model.name, "'")),
          .retry_after_s = kRetryAfterSeconds};
    case core::AnswerError::kOverloaded:
      return {.status = absl::ResourceExhaustedError(
                  "parm-frontend: too many queries are waiting"),
              .retry_after_s = kRetryAfterSeconds};
    case core::AnswerError::kDraining:
      return {.status = absl::UnavailableError("parm-frontend: shutting down"),
              .retry_after_s = kRetryAfterSeconds};
    case core::AnswerError::kBackend:
    case core::AnswerError::kNone:
      break;
  }
  QueryReply reply;
  const bool away = worker_code == absl::StatusCode::kUnavailable;
  const bool failed = away || worker_code == absl::StatusCode::kInternal ||
                      worker_code == absl::StatusCode::kDeadlineExceeded;
  reply.status = absl::Status(
      worker_code, absl::StrCat("parm-frontend: the worker ",
                                failed ? "failed" : "refused the request",
                                worker_text.empty() ? "" : ": ", worker_text));
  if (away) reply.retry_after_s = kRetryAfterSeconds;
  return reply;
}

}  // namespace parm
