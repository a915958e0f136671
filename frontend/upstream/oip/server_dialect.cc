#include "frontend/upstream/oip/server_dialect.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/oip/infer_request_codec.h"
#include "proto/oip/metadata_json.h"

namespace parm {
namespace {

std::string PercentEncode(absl::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' ||
        c == '_' || c == '.' || c == '~') {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace

ServerKind KindCalled(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  if (absl::StrContains(lower, "triton")) return ServerKind::kTriton;
  if (absl::StrContains(lower, "mlserver")) return ServerKind::kMlserver;
  if (absl::StrContains(lower, "kserve")) return ServerKind::kKserve;
  return ServerKind::kAuto;
}

absl::string_view ServerKindName(ServerKind kind) {
  switch (kind) {
    case ServerKind::kTriton:
      return "triton";
    case ServerKind::kMlserver:
      return "mlserver";
    case ServerKind::kKserve:
      return "kserve";
    case ServerKind::kAuto:
      break;
  }
  return "other";
}

ServerDialect DialectOf(ServerKind kind, const oip::Body& server_metadata) {
  ServerDialect dialect{.kind = kind};
  if (kind == ServerKind::kAuto) {
    const absl::StatusOr<oip::ServerMetadata> server =
        oip::ParseServerMetadata(server_metadata);
    if (!server.ok()) return dialect;
    dialect.kind = KindCalled(server->name);
    for (const std::string& extension : server->extensions) {
      dialect.binary |= extension == "binary_tensor_data";
    }
  }
  // KServe's SDK takes binary tensors and does not list them.
  dialect.binary |= dialect.kind == ServerKind::kTriton ||
                    dialect.kind == ServerKind::kKserve;
  return dialect;
}

std::string ModelPath(const OipServedModel& model) {
  std::string path =
      absl::StrCat("/v2/models/", PercentEncode(model.server_name));
  if (!model.version.empty()) {
    absl::StrAppend(&path, "/versions/", PercentEncode(model.version));
  }
  return path;
}

ServerRequest GetRequest(const ServerUrl& url, absl::string_view path) {
  return {.head = absl::StrCat("GET ", url.base, path,
                               " HTTP/1.1\r\nHost: ", url.host_header,
                               "\r\nAccept: application/json\r\n\r\n")};
}

absl::StatusOr<ServerRequest> InferRequestTo(const ServerUrl& url,
                                             absl::string_view model_path,
                                             const ServerDialect& dialect,
                                             const oip::InferRequest& request) {
  PARM_ASSIGN_OR_RETURN(oip::EncodedBody body,
                        oip::WriteInferRequest(request, dialect.binary));
  ServerRequest out;
  out.head = absl::StrCat("POST ", url.base, model_path,
                          "/infer HTTP/1.1\r\nHost: ", url.host_header,
                          "\r\nContent-Length: ", body.TotalBytes(), "\r\n",
                          request.headers);
  // KServe's SDK reads a body with a JSON content type as JSON alone, and one
  // without any not at all.
  if (body.binary) {
    absl::StrAppend(&out.head,
                    "Content-Type: application/octet-stream\r\n"
                    "Inference-Header-Content-Length: ",
                    body.json.size(), "\r\n\r\n");
  } else {
    absl::StrAppend(&out.head, "Content-Type: application/json\r\n\r\n");
  }
  out.json = std::move(body.json);
  out.tensors = std::move(body.tensors);
  return out;
}

}  // namespace parm
