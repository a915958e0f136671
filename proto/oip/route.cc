#include "proto/oip/route.h"

#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace parm::oip {
namespace {

/// v2, models, {m}, versions, {v}, infer.
constexpr size_t kMaxSegments = 6;
constexpr size_t kMaxNameBytes = 1024;

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

absl::string_view PathOf(absl::string_view target) {
  for (const absl::string_view scheme : {"http://", "https://"}) {
    if (!absl::StartsWithIgnoreCase(target, scheme)) continue;
    const size_t slash = target.find('/', scheme.size());
    target = slash == absl::string_view::npos ? "/" : target.substr(slash);
  }
  return target.substr(0, target.find_first_of("?#"));
}

struct Segments {
  std::array<absl::string_view, kMaxSegments> text;
  size_t count = 0;

  absl::string_view operator[](size_t i) const {
    return i < count ? text[i] : absl::string_view();
  }
};

/// False if there are too many. Empty segments ("//", a slash at the end) do
/// not count.
bool Split(absl::string_view path, Segments* out) {
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const absl::string_view segment = path.substr(0, slash);
    if (!segment.empty()) {
      if (out->count == kMaxSegments) return false;
      out->text[out->count++] = segment;
    }
    if (slash == absl::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return true;
}

Route Found(Endpoint endpoint) {
  return {.kind = Route::Kind::kFound, .endpoint = endpoint};
}

/// Below /v2/models/{m}[/versions/{v}].
Route ParseModelTarget(const Segments& segments) {
  size_t next = 3;
  Route route = Found(Endpoint::kModelMetadata);
  if (!PercentDecode(segments[2], &route.model)) {
    return {.kind = Route::Kind::kBadTarget};
  }
  if (segments[3] == "versions" && segments.count > 4) {
    if (!PercentDecode(segments[4], &route.version)) {
      return {.kind = Route::Kind::kBadTarget};
    }
    next = 5;
  }
  if (route.model.size() > kMaxNameBytes ||
      route.version.size() > kMaxNameBytes || segments.count > next + 1) {
    return {};
  }
  const absl::string_view what = segments[next];
  if (what.empty()) return route;
  if (what == "infer") {
    route.endpoint = Endpoint::kInfer;
  } else if (what == "ready") {
    route.endpoint = Endpoint::kModelReady;
  } else if (what == "config") {
    route.endpoint = Endpoint::kModelConfig;
  } else if (what == "stats") {
    route.endpoint = Endpoint::kModelStatistics;
  } else {
    return {};
  }
  return route;
}

}  // namespace

const char* EndpointName(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::kLive:
      return "live";
    case Endpoint::kReady:
      return "ready";
    case Endpoint::kServerMetadata:
      return "server_metadata";
    case Endpoint::kModelNames:
      return "model_names";
    case Endpoint::kModelMetadata:
      return "model_metadata";
    case Endpoint::kModelReady:
      return "model_ready";
    case Endpoint::kModelConfig:
      return "model_config";
    case Endpoint::kModelStatistics:
      return "model_statistics";
    case Endpoint::kInfer:
      return "infer";
    case Endpoint::kRepositoryIndex:
      return "repository_index";
    case Endpoint::kMetrics:
      return "metrics";
    case Endpoint::kOther:
      break;
  }
  return "other";
}

bool PercentDecode(absl::string_view text, std::string* out) {
  out->clear();
  out->reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out->push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return false;
    const int high = HexValue(text[i + 1]);
    const int low = HexValue(text[i + 2]);
    if (high < 0 || low < 0) return false;
    out->push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return true;
}

Route ParseTarget(absl::string_view target) {
  Segments segments;
  if (!Split(PathOf(target), &segments)) return {};
  if (segments[0] == "metrics" && segments.count == 1) {
    return Found(Endpoint::kMetrics);
  }
  if (segments[0] != "v2") return {};
  if (segments.count == 1) return Found(Endpoint::kServerMetadata);
  if (segments[1] == "models") {
    if (segments.count == 2) return Found(Endpoint::kModelNames);
    // As Triton has it: a model of that name has no metadata.
    if (segments.count == 3 && segments[2] == "stats") {
      return Found(Endpoint::kModelStatistics);
    }
    return ParseModelTarget(segments);
  }
  if (segments[1] == "health" && segments.count == 3) {
    if (segments[2] == "live") return Found(Endpoint::kLive);
    if (segments[2] == "ready") return Found(Endpoint::kReady);
  }
  if (segments[1] == "repository" && segments[2] == "index" &&
      segments.count == 3) {
    return Found(Endpoint::kRepositoryIndex);
  }
  if (segments[1] == "systemsharedmemory" ||
      segments[1] == "cudasharedmemory") {
    return {.kind = Route::Kind::kSharedMemory};
  }
  return {};
}

int HttpStatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kOutOfRange:
      return 413;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

}  // namespace parm::oip
