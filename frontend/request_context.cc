#include "frontend/request_context.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace parm {

absl::StatusOr<std::shared_ptr<const oip::RequestContext>> ContextOf(
    const oip::InferRequest& request, const std::string& id) {
  oip::RequestContext context{.id = id, .headers = request.headers};
  for (const auto& parameter : request.parameters) {
    if (parameter.first == "sequence_id") {
      return absl::UnimplementedError(
          "parm-frontend: sequences are not supported: their requests belong "
          "to one server, and go to any here");
    }
    if (!absl::StartsWith(parameter.first, "parm_")) {
      context.parameters.push_back(parameter);
    }
  }
  if (context.id.empty() && context.parameters.empty() &&
      context.headers.empty()) {
    return std::shared_ptr<const oip::RequestContext>();
  }
  return std::make_shared<const oip::RequestContext>(std::move(context));
}

std::vector<AttemptHeader> DefaultAttemptHeaders() {
  return {{.name = "x-envoy-attempt-count", .first = 1},
          {.name = "grpc-previous-rpc-attempts", .first = 0}};
}

bool SaysFurtherAttempt(absl::string_view headers,
                        absl::Span<const AttemptHeader> known) {
  if (known.empty()) return false;
  for (const absl::string_view line :
       absl::StrSplit(headers, "\r\n", absl::SkipEmpty())) {
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos) continue;
    for (const AttemptHeader& header : known) {
      if (!absl::EqualsIgnoreCase(line.substr(0, colon), header.name)) continue;
      const absl::string_view value =
          absl::StripAsciiWhitespace(line.substr(colon + 1));
      uint32_t count = 0;
      if (!absl::SimpleAtoi(value, &count) || count > header.first) return true;
    }
  }
  return false;
}

}  // namespace parm
