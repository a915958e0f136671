#pragma once

// What the configuration decides for an HTTP listener, resolved to values.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/time.h"
#include "frontend/serve/tls_context.h"

namespace parm {

struct HttpOptions {
  /// An IPv4 or IPv6 address, not a name.
  std::string address = "127.0.0.1";
  /// 0 picks a free port.
  uint16_t port = 0;

  /// One more is answered 503 and closed.
  size_t max_connections = 1024;
  /// Requests of one connection that wait for their reply; then it is not read
  /// from until one has left.
  size_t max_pipelined = 16;
  /// Request line and headers; beyond it 431.
  size_t max_header_bytes = size_t{16} << 10;
  /// One body; beyond it 413.
  size_t max_body_bytes = size_t{64} << 20;
  /// JSON text of an inference request, and a compressed body once it is plain:
  /// the loop serves nobody else while it reads them. Beyond it 413.
  size_t max_json_bytes = size_t{16} << 20;
  size_t max_decompressed_bytes = size_t{16} << 20;
  /// What has arrived of bodies that are still being read, and replies that are
  /// still being written, all connections together; beyond it requests with a
  /// body are answered 503.
  /// What was handed to the QueryService is the service's to bound.
  size_t max_buffered_bytes = size_t{1} << 30;

  /// By which certificates the port speaks TLS; absent: it does not.
  std::optional<TlsIdentity> tls;
  /// From the connection to the end of the handshake.
  Duration handshake_timeout = Milliseconds(10'000);

  /// A connection without a request may stay this long.
  Duration idle_timeout = Milliseconds(60'000);
  /// From the first byte of a request to its last; beyond it 408.
  Duration read_timeout = Milliseconds(30'000);
  /// From the first byte of a reply to its last; beyond it the connection is
  /// closed.
  Duration write_timeout = Milliseconds(10'000);

  /// Replies of inference within these sizes are compressed if the client takes
  /// gzip or deflate. Compression runs on the loop: hence the upper bound.
  size_t min_compressed_bytes = 1024;
  size_t max_compressed_bytes = size_t{1} << 20;

  /// What GET /v2 says.
  std::string server_name = "parm";
  std::string server_version = "0.1.0";
};

}  // namespace parm
