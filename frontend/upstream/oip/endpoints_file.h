#pragma once

// A file that lists model servers, for an entry of `workers` whose servers come
// and go: one endpoint a line, and comments from a # to the line's end.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "frontend/upstream/oip/oip_options.h"

namespace parm {

struct ServerEndpoint {
  std::string text;  // as it was written
  ServerUrl url;
  int line = 0;
};

/// The endpoints of entry.endpoints_file, whose text this is.
/// Errors: kInvalidArgument "FILE:LINE: ..." for what is no endpoint, or not of
/// the entry's protocol, or there twice; for more than max_servers; for none.
absl::StatusOr<std::vector<ServerEndpoint>> ParseEndpointsFile(
    const OipServerOptions& entry, absl::string_view text);

/// Errors: as ParseEndpointsFile and ReadWholeFile, above 1 MiB too.
absl::StatusOr<std::vector<ServerEndpoint>> ReadEndpointsFile(
    const OipServerOptions& entry);

}  // namespace parm
