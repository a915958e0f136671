#pragma once

// Step [7] of a query's life: the core's decision about one query as the reply
// that its client gets, labelled with where it came from.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "base/time.h"
#include "frontend/buffer_table.h"
#include "frontend/core/action.h"
#include "frontend/core/core_options.h"
#include "frontend/model_catalog.h"
#include "frontend/serve/query_service.h"

namespace parm {

/// What is kept of a query until it is answered.
struct AnsweredQuery {
  std::string id;  // the client's
  ModelId model{};
  BundleKey bundle{};  // fixed at admission
  int64_t rows = 0;
  Duration deadline{0};
};

/// "exact", "reconstructed", ...: header x-parm-source and label `source`.
absl::string_view SourceName(core::AnswerSource source);

/// The query's rows of `outputs`.
/// Errors: kInternal if they are not there.
absl::StatusOr<QueryReply> OutputReply(const std::string& model_name,
                                       const AnsweredQuery& query,
                                       const CatalogBundle& bundle,
                                       const core::AnswerQuery& answer,
                                       const TensorSet& outputs);

/// Whether the configured default is one sample of the model's only output.
/// Errors: kInvalidArgument if not, saying what it is.
absl::Status CheckDefault(const CatalogBundle& bundle,
                          absl::Span<const float> values);

/// The configured default, once per row.
/// Errors: kDeadlineExceeded where CheckDefault fails: there is no answer.
absl::StatusOr<QueryReply> DefaultReply(const std::string& model_name,
                                        const AnsweredQuery& query,
                                        const CatalogBundle& bundle,
                                        absl::Span<const float> values);

/// What a query that no worker was asked is told.
QueryReply RefusalReply(const absl::Status& why);

/// An error that names this frontend. `worker_text`: what the worker said, and
/// `worker_code` what that means to a client; both for kBackend.
QueryReply ErrorReply(
    const core::ModelOptions& model, const AnsweredQuery& query,
    core::AnswerError error, absl::string_view worker_text,
    absl::StatusCode worker_code = absl::StatusCode::kInternal);

}  // namespace parm
