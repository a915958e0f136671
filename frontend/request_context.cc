#include "frontend/request_context.h"

#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace parm {

std::shared_ptr<const oip::RequestContext> ContextOf(
    const oip::InferRequest& request, const std::string& id) {
  oip::RequestContext context{.id = id, .headers = request.headers};
  for (const auto& parameter : request.parameters) {
    if (!absl::StartsWith(parameter.first, "parm_")) {
      context.parameters.push_back(parameter);
    }
  }
  if (context.id.empty() && context.parameters.empty() &&
      context.headers.empty()) {
    return nullptr;
  }
  return std::make_shared<const oip::RequestContext>(std::move(context));
}

absl::StatusOr<SequenceStep> SequenceStepOf(const oip::Parameters& parameters) {
  constexpr size_t kMaxIdBytes = 256;
  SequenceStep step;
  for (const auto& [name, value] : parameters) {
    const bool* const flag = std::get_if<bool>(&value);
    if (name == "sequence_start") step.start = flag != nullptr && *flag;
    if (name == "sequence_end") step.end = flag != nullptr && *flag;
    if (name != "sequence_id") continue;
    const auto* const number = std::get_if<int64_t>(&value);
    const auto* const large = std::get_if<uint64_t>(&value);
    const auto* const text = std::get_if<std::string>(&value);
    if (number != nullptr && *number != 0) step.id = absl::StrCat(*number);
    if (large != nullptr && *large != 0) step.id = absl::StrCat(*large);
    if (text == nullptr || text->empty()) continue;
    if (text->size() > kMaxIdBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("parameter sequence_id is too long: got ", text->size(),
                       " bytes, want at most ", kMaxIdBytes));
    }
    step.id = absl::StrCat("'", *text, "'");
  }
  return step;
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
