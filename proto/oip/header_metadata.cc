#include "proto/oip/header_metadata.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace parm::oip {
namespace {

constexpr absl::string_view kOwn[] = {
    "accept-encoding", "content-encoding", "content-type", "host", "te",
    "user-agent",      "triton_grpc_error"};

// The gRPC library's own, but it tells of the query: it was sent before.
constexpr absl::string_view kPreviousAttempts = "grpc-previous-rpc-attempts";

bool IsPassed(absl::string_view name) {
  return !name.empty() && !absl::StartsWith(name, "grpc-") &&
         std::find(std::begin(kOwn), std::end(kOwn), name) == std::end(kOwn) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_islower(static_cast<unsigned char>(c)) ||
                  absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
                  c == '-' || c == '_' || c == '.';
         });
}

bool IsText(absl::string_view value) {
  return std::all_of(value.begin(), value.end(),
                     [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

void AppendMetadata(absl::string_view name, absl::string_view value,
                    std::string* headers) {
  if (!IsPassed(name) && name != kPreviousAttempts) return;
  if (absl::EndsWith(name, "-bin")) {
    absl::StrAppend(headers, name, ": ", absl::Base64Escape(value), "\r\n");
  } else if (IsText(value)) {
    absl::StrAppend(headers, name, ": ", value, "\r\n");
  }
}

std::vector<std::pair<std::string, std::string>> MetadataOf(
    absl::string_view headers) {
  std::vector<std::pair<std::string, std::string>> out;
  if (headers.empty()) return out;
  for (const absl::string_view line :
       absl::StrSplit(headers, "\r\n", absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    std::string name = absl::AsciiStrToLower(parts.first);
    const absl::string_view text = absl::StripAsciiWhitespace(parts.second);
    if (!IsPassed(name)) continue;
    std::string value;
    if (absl::EndsWith(name, "-bin")) {
      if (!absl::Base64Unescape(text, &value)) continue;
    } else {
      if (!IsText(text)) continue;
      value = std::string(text);
    }
    out.emplace_back(std::move(name), std::move(value));
  }
  return out;
}

}  // namespace parm::oip
