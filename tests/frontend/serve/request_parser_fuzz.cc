// Bytes of any client through the HTTP request parser, offered at once and one
// by one: both must read the same requests and never leave their bounds.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "frontend/serve/request_parser.h"

namespace {

using parm::RequestParser;

constexpr size_t kMaxHeaderBytes = 512;
constexpr size_t kMaxBodyBytes = 1024;
constexpr int kMaxRequests = 8;

/// What was read, as text. `step` new bytes are offered at a time.
std::string ReadAll(absl::string_view text, size_t step) {
  RequestParser parser(kMaxHeaderBytes, kMaxBodyBytes);
  std::string seen;
  std::string window;
  bool chunks = false;
  for (int num_requests = 0; num_requests < kMaxRequests;) {
    const RequestParser::Step parsed =
        chunks ? parser.ParseChunks(window) : parser.ParseHead(window);
    PARM_CHECK(parsed.consumed <= window.size());
    window.erase(0, parsed.consumed);
    switch (parsed.progress) {
      case RequestParser::Progress::kError:
        PARM_CHECK(parser.error_status() >= 400);
        return seen + "error";
      case RequestParser::Progress::kNeedMore:
        if (text.empty()) return seen;
        window += std::string(text.substr(0, step));
        text.remove_prefix(std::min(step, text.size()));
        break;
      case RequestParser::Progress::kHead:
        seen += parser.head().target + "\n";
        PARM_CHECK(parser.head().content_length <= kMaxBodyBytes);
        parm::oip::ParseTarget(parser.head().target);
        if (parser.head().chunked) {
          chunks = true;
          break;
        }
        if (parser.head().content_length > 0) return seen;
        parser.Reset();
        ++num_requests;
        break;
      case RequestParser::Progress::kBody:
        PARM_CHECK(parser.chunked_body().size() <= kMaxBodyBytes);
        seen += parser.chunked_body() + "\n";
        chunks = false;
        parser.Reset();
        ++num_requests;
        break;
    }
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string at_once = ReadAll(text, std::max<size_t>(size, 1));
  const std::string by_bytes = ReadAll(text, 1);
  // A limit may be met sooner or later, but what is read must be the same.
  if (at_once.find("error") == std::string::npos &&
      by_bytes.find("error") == std::string::npos) {
    PARM_CHECK(at_once == by_bytes);
  }
  return 0;
}
