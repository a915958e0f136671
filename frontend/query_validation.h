#pragma once

// Step [1] of a query's life: whether a parsed request fits the model, and what
// its parameters ask for. Pure; the frontend loop calls it.

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "frontend/buffer_table.h"
#include "frontend/core/event.h"
#include "frontend/model_catalog.h"
#include "proto/oip/messages.h"

namespace parm {

/// A request that the model can answer.
struct ValidQuery {
  TensorSet inputs;    // in the model's order
  uint64_t bytes = 0;  // of all inputs
  core::AnswerMode mode = core::AnswerMode::kBalanced;
  Duration deadline{0};  // from arrival
};

/// Checks `request` against the bundle's inputs and outputs, and moves its
/// tensors into the result. parm_deadline_us may only shorten `deadline`.
/// Errors: kInvalidArgument with a sentence for the client: wrong number, name,
/// datatype, shape, batch size or byte count of inputs, an unknown output, or a
/// parameter of ours that makes no sense.
absl::StatusOr<ValidQuery> ValidateQuery(oip::InferRequest request,
                                         const CatalogBundle& bundle,
                                         uint32_t max_batch_size,
                                         Duration deadline);

}  // namespace parm
