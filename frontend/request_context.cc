#include "frontend/request_context.h"

#include <utility>

#include "absl/strings/match.h"

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

}  // namespace parm
