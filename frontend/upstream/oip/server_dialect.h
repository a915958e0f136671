#pragma once

// What kinds of model servers lack, and the requests that each understands:
// everything that differs between them is here. A reply is read the same way
// from all of them.

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "frontend/upstream/oip/oip_options.h"
#include "frontend/upstream/oip/server_connections.h"
#include "proto/oip/body.h"
#include "proto/oip/messages.h"

namespace parm {

/// How one server is talked to.
struct ServerDialect {
  ServerKind kind = ServerKind::kAuto;
  /// Takes and gives binary tensors; else they go as JSON.
  bool binary = false;
};

/// What `kind` means, or for kAuto what the reply to GET /v2 says: its name, or
/// that it lists the extension binary_tensor_data. Not understood: JSON, which
/// all speak.
ServerDialect DialectOf(ServerKind kind, const oip::Body& server_metadata);

/// By the name that a server gives itself; kAuto: another one.
ServerKind KindCalled(absl::string_view name);

absl::string_view ServerKindName(ServerKind kind);

/// The paths of one model, below the URL's base.
/// "/v2/models/NAME[/versions/VERSION]", percent-encoded.
std::string ModelPath(const OipServedModel& model);

/// GET of a path below the URL's base.
ServerRequest GetRequest(const ServerUrl& url, absl::string_view path);

/// POST .../infer. Outputs are all asked for, binary if the dialect has it.
/// `request.headers` are handed on.
/// Errors: kInvalidArgument for a tensor that has no JSON form, if JSON is all
/// that the server takes.
absl::StatusOr<ServerRequest> InferRequestTo(const ServerUrl& url,
                                             absl::string_view model_path,
                                             const ServerDialect& dialect,
                                             const oip::InferRequest& request);

}  // namespace parm
