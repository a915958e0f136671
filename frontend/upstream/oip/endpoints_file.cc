#include "frontend/upstream/oip/endpoints_file.h"

#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "proto/atomic_file.h"

namespace parm {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 20;

}  // namespace

absl::StatusOr<std::vector<ServerEndpoint>> ParseEndpointsFile(
    const OipServerOptions& entry, absl::string_view text) {
  std::vector<ServerEndpoint> endpoints;
  std::set<std::string> seen;
  int number = 0;
  const auto error = [&](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat(entry.endpoints_file, ":", number, ": ", what));
  };
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    const absl::string_view endpoint =
        absl::StripAsciiWhitespace(line.substr(0, line.find('#')));
    if (endpoint.empty()) continue;
    absl::StatusOr<ServerUrl> url = ParseServerUrl(endpoint);
    if (!url.ok()) return error(url.status().message());
    if (entry.protocol.has_value() && url->protocol != *entry.protocol) {
      return error(
          absl::StrCat("protocol differs from the entry's: got ", endpoint));
    }
    if (!seen.insert(std::string(endpoint)).second) {
      return error(absl::StrCat("endpoint given twice: ", endpoint));
    }
    if (endpoints.size() == entry.max_servers) {
      return error(absl::StrCat("more endpoints than max_servers, which is ",
                                entry.max_servers));
    }
    endpoints.push_back({.text = std::string(endpoint),
                         .url = *std::move(url),
                         .line = number});
  }
  // More likely an accident than a wish.
  if (endpoints.empty()) return error("no endpoint");
  return endpoints;
}

absl::StatusOr<std::vector<ServerEndpoint>> ReadEndpointsFile(
    const OipServerOptions& entry) {
  PARM_ASSIGN_OR_RETURN(const std::string text,
                        ReadWholeFile(entry.endpoints_file, kMaxFileBytes));
  return ParseEndpointsFile(entry, text);
}

}  // namespace parm
