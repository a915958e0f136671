#pragma once

// What of a client's request is handed on to a model server that is not ours,
// beside the tensors; step [2] of a query's life.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proto/oip/messages.h"

namespace parm {

/// Null if there is nothing to hand on. Our own parameters (parm_*) stay here.
/// Errors: kUnimplemented for a sequence, whose requests all belong to one
/// server.
absl::StatusOr<std::shared_ptr<const oip::RequestContext>> ContextOf(
    const oip::InferRequest& request, const std::string& id);

}  // namespace parm
