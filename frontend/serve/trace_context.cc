#include "frontend/serve/trace_context.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace parm {
namespace {

constexpr absl::string_view kName = "traceparent:";
/// Version, trace, span, flags: hexadecimal digits in lower case.
constexpr absl::string_view kPattern =
    "00-00000000000000000000000000000000-0000000000000000-00";

}  // namespace

bool IsTraceparent(absl::string_view text) {
  if (text.size() != kPattern.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto character = static_cast<unsigned char>(text[i]);
    const bool is_hex =
        absl::ascii_isdigit(character) || (text[i] >= 'a' && text[i] <= 'f');
    if (kPattern[i] == '-' ? text[i] != '-' : !is_hex) return false;
  }
  return true;
}

absl::string_view TraceparentIn(absl::string_view headers) {
  for (const absl::string_view line : absl::StrSplit(headers, "\r\n")) {
    if (!absl::StartsWithIgnoreCase(line, kName)) continue;
    const absl::string_view value =
        absl::StripAsciiWhitespace(line.substr(kName.size()));
    return IsTraceparent(value) ? value : absl::string_view();
  }
  return {};
}

}  // namespace parm
