#pragma once

// Step [2] of a query's life, before the core hears of it: which model and
// bundle it is for, whether it fits, how long it may take, what it may share
// with others. Whatever may refuse a query by itself is here, and counted.

#include "absl/status/statusor.h"
#include "base/time.h"
#include "frontend/answer_builder.h"
#include "frontend/buffer_table.h"
#include "frontend/frontend_config.h"
#include "frontend/loop_counters.h"
#include "frontend/model_catalog.h"
#include "frontend/model_directory.h"
#include "frontend/query_capture.h"
#include "frontend/query_validation.h"
#include "frontend/request_context.h"
#include "frontend/unit_chooser.h"
#include "proto/oip/messages.h"

namespace parm {

/// A query that fits.
struct AdmittedQuery {
  AnsweredQuery about;
  const CatalogBundle* bundle = nullptr;  // about.bundle; the catalog's
  ValidQuery query;
  Layout layout;
  uint8_t unit = 0;  // as core::QueryArrived
  SequenceStep step;
  bool further_attempt = false;  // as core::QueryArrived
};

/// Threads: the loop's only.
class QueryAdmission {
 public:
  struct Parts {  // All outlive the admission.
    const FrontendOptions* options = nullptr;
    const ModelDirectory* directory = nullptr;
    ModelCatalog* catalog = nullptr;
    const UnitChooser* units = nullptr;
    const BufferTable* buffers = nullptr;
    QueryCapture* capture = nullptr;  // null: nothing is captured
    LoopCounters* counters = nullptr;
  };
  explicit QueryAdmission(const Parts& parts) : parts_(parts) {}

  /// Errors: kNotFound for an unknown model or version; kUnavailable while
  /// nobody serves it; as ValidateQuery and SequenceStepOf; kResourceExhausted
  /// at max_buffered_bytes; kOutOfRange for a tensor that its workers do not
  /// take.
  absl::StatusOr<AdmittedQuery> Admit(oip::InferRequest request,
                                      Time arrived) const;

 private:
  absl::Status CheckSize(ModelId model, const ValidQuery& query) const;
  Layout LayoutOf(const CatalogBundle& bundle, bool coded, uint8_t unit,
                  const TensorSet& inputs) const;

  const Parts parts_;
};

}  // namespace parm
