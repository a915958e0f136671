#pragma once

// frontend.yaml to the options of every part of the frontend: defaults filled
// in, durations resolved, and the checks between fields that the schema
// (proto/config.proto) cannot express.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"
#include "frontend/capture_options.h"
#include "frontend/core/core_options.h"
#include "frontend/model_catalog.h"
#include "frontend/request_context.h"
#include "frontend/sequence_options.h"
#include "frontend/serve/tls_context.h"
#include "frontend/upstream/oip/oip_options.h"
#include "frontend/upstream/zmq_upstream.h"

namespace parm {

/// Section `http`.
struct HttpLimits {
  uint64_t max_body_bytes = uint64_t{64} << 20;
  uint64_t max_json_bytes = uint64_t{16} << 20;
  uint64_t max_decompressed_bytes = uint64_t{16} << 20;
  uint32_t max_connections = 1024;
  uint32_t max_pipelined = 16;
  uint32_t max_header_bytes = uint32_t{16} << 10;
  Duration read_timeout = Milliseconds(30'000);
  Duration idle_timeout = Milliseconds(60'000);
  Duration write_timeout = Milliseconds(10'000);

  bool operator==(const HttpLimits&) const = default;
};

/// Section `grpc`.
struct GrpcLimits {
  uint32_t max_message_bytes = uint32_t{64} << 20;
  uint32_t max_calls = 4096;
  uint32_t max_streams = 1024;
  uint32_t max_stream_in_flight = 16;
  Duration drain_patience = Milliseconds(10'000);

  bool operator==(const GrpcLimits&) const = default;
};

/// Section `tls` of `http` or `grpc`.
struct PortTls {
  std::optional<TlsIdentity> identity;  // absent: no TLS
  Duration handshake_timeout = Milliseconds(10'000);

  bool operator==(const PortTls&) const = default;
};
struct PortsTls {
  PortTls http;
  PortTls grpc;

  bool operator==(const PortsTls&) const = default;
};

struct FrontendOptions {
  core::CoreOptions core;
  CatalogOptions catalog;
  /// Our own workers have the first WorkerIds, model servers those after them.
  UpstreamOptions upstream;
  OipOptions oip;
  /// By ModelId; one sample of the first output, empty: an error instead.
  std::vector<std::vector<float>> default_answers;
  std::vector<CaptureModel> captures;  // by ModelId
  SequenceOptions sequences;
  HttpLimits http;
  GrpcLimits grpc;
  PortsTls tls;
  std::vector<AttemptHeader> attempt_headers = DefaultAttemptHeaders();
  Duration exit_timeout = Milliseconds(30'000);
};

/// Errors: kInvalidArgument "FILE:LINE: ..." for what proto/strict_yaml.h
/// refuses, and for: no worker or model; an endpoint that is not tcp:// with a
/// port, ipc://, http:// or grpc://, or given twice; a file of endpoints that
/// ReadEndpointsFile refuses; a key of model servers for another worker; a
/// served model that is not in the file; a model named twice; policy coded
/// without a code; a scheme, k or r that no code takes; floor above
/// min_confidence; trigger.min above trigger.max; slack or a timeout not below
/// the deadline; a timeout or interval of 0; more queries than the core has
/// room for; a capture directory that does not exist, cannot be written to, or
/// is another model's too; certificates and keys that LoadTlsIdentity or
/// LoadCurveKeys refuses; with CURVE a parm-worker without a server key.
/// Paths are relative to `file`'s folder.
absl::StatusOr<FrontendOptions> ParseFrontendConfig(absl::string_view yaml,
                                                    absl::string_view file);

/// Errors: as ParseFrontendConfig and ReadWholeFile.
absl::StatusOr<FrontendOptions> LoadFrontendConfig(const std::string& path);

}  // namespace parm
