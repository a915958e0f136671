#pragma once

// What an HTTP listener counts, in plain fields; the metrics exporter copies
// them out. Read on the loop thread.

#include <array>
#include <cstddef>
#include <cstdint>

#include "proto/oip/route.h"

namespace parm {

using oip::Endpoint;
using oip::EndpointName;
using oip::kNumEndpoints;

struct HttpCounters {
  /// Final replies by endpoint and status class: [endpoint][status / 100].
  std::array<std::array<uint64_t, 6>, kNumEndpoints> replies{};
  uint64_t connections_accepted = 0;
  uint64_t connections_refused = 0;  // max_connections
  uint64_t connections_open = 0;     // now
  uint64_t accept_errors = 0;
  /// TLS handshakes that came to their end; and those that did not because the
  /// client's certificate is missing or wrong, for another reason (no TLS, no
  /// common version, it does not trust ours, it left), or in time.
  uint64_t handshakes = 0;
  uint64_t handshakes_unauthorized = 0;
  uint64_t handshakes_failed = 0;
  uint64_t handshake_timeouts = 0;
  /// Of HTTP, without what TLS adds.
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;
  /// Not HTTP, or a shape that is refused: the connection ends.
  uint64_t rejected_frames = 0;
  /// Too large, in a broken or unknown encoding, or no inference request.
  uint64_t rejected_bodies = 0;
  /// Refused because of max_buffered_bytes.
  uint64_t shed_bodies = 0;
  /// Queries whose client went before their answer.
  uint64_t abandoned = 0;
  uint64_t idle_timeouts = 0;
  uint64_t read_timeouts = 0;
  uint64_t write_timeouts = 0;
};

}  // namespace parm
