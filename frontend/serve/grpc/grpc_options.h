#pragma once

// What the configuration decides for the gRPC listener, resolved to values.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/time.h"
#include "frontend/serve/tls_context.h"

namespace parm {

struct GrpcOptions {
  /// An IPv4 or IPv6 address, not a name.
  std::string address = "127.0.0.1";
  /// 0 picks a free port.
  uint16_t port = 0;

  /// By which certificates the port speaks TLS; absent: it does not.
  std::optional<TlsIdentity> tls;
  /// From the connection to the end of the handshakes, HTTP/2's included.
  Duration handshake_timeout = Milliseconds(10'000);

  /// One request; beyond it RESOURCE_EXHAUSTED. Replies are not bounded.
  uint32_t max_message_bytes = uint32_t{64} << 20;
  /// Calls with one request that are unanswered; one more is UNAVAILABLE.
  uint32_t max_calls = 4096;
  /// Streams that are open; one more is UNAVAILABLE.
  uint32_t max_streams = 1024;
  /// Queries of one stream that wait for their reply; then it is not read from
  /// until one has left.
  uint32_t max_stream_in_flight = 16;
  /// Tensors that wait for the loop, and replies that are being written, each:
  /// beyond it queries are UNAVAILABLE. The gRPC library's own buffers may take
  /// that and two messages more.
  /// What was handed to the QueryService is the service's to bound.
  size_t max_buffered_bytes = size_t{1} << 30;

  /// In a drain, how long replies wait for clients that do not read them.
  Duration drain_patience = Milliseconds(10'000);

  /// What ServerMetadata says.
  std::string server_name = "parm";
  std::string server_version = "0.1.0";
};

}  // namespace parm
