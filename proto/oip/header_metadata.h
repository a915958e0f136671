#pragma once

// What a client says beside its request, as header lines of HTTP (the form of
// RequestContext::headers) and as metadata of gRPC.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace parm::oip {

/// Appends one line. Left out: what concerns one connection or message, or this
/// server, alone; of gRPC's own names all but grpc-previous-rpc-attempts. A
/// name that ends with -bin has bytes for its value, which become base64.
void AppendMetadata(absl::string_view name, absl::string_view value,
                    std::string* headers);

/// Back again, names in lower case. Left out: what metadata cannot say, and
/// what the gRPC library says itself.
std::vector<std::pair<std::string, std::string>> MetadataOf(
    absl::string_view headers);

}  // namespace parm::oip
