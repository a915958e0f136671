#pragma once

// What clients may put into the parameters of a request, whatever the
// transport. Internal to proto/oip/.

#include "absl/status/status.h"
#include "proto/oip/messages.h"

namespace parm::oip {

/// What the protocol reserves keeps its type; keys of Triton's own are refused
/// as Triton refuses them.
/// Errors: kInvalidArgument.
absl::Status CheckReserved(const Parameters& parameters);

/// Of a tensor: one that lies in shared memory has no bytes here.
/// Errors: kUnimplemented.
absl::Status RefuseSharedMemory(const Parameters& parameters);

/// Of a requested output.
/// Errors: kUnimplemented for classification and shared memory.
absl::Status CheckOutputParameters(const RequestedOutput& output);

}  // namespace parm::oip
