#pragma once

// The transport to our own workers: one ZeroMQ ROUTER socket for all of them,
// inside the shard's loop. It keeps every worker connected, says HelloRequest
// when a connection or a process is new, and turns frames into the calls of
// UpstreamListener. It decides nothing about tasks.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "base/time.h"
#include "boost/asio/io_context.hpp"
#include "frontend/upstream/upstream_listener.h"
#include "frontend/upstream/worker_transport.h"
#include "proto/curve_keys.h"

namespace parm {

struct UpstreamWorker {
  std::string endpoint;  // tcp://HOST:PORT or ipc://PATH
  uint32_t max_in_flight = 16;
  std::string server_key;  // its public CURVE key; with keys of our own
};

struct UpstreamOptions {
  CurveKeys keys;                       // empty: in the clear
  std::vector<UpstreamWorker> workers;  // by WorkerId; endpoints are distinct
  /// A larger frame ends its connection (ZMQ_MAXMSGSIZE).
  int64_t max_message_bytes = int64_t{256} << 20;
  /// A worker that is connected but has not said hello is connected anew after
  /// this long, doubling up to 8 times it.
  Duration hello_timeout = Milliseconds(1000);
  /// Messages taken before others on the loop get their turn.
  int max_messages_per_slice = 64;
};

/// Counted here, exported as parm_upstream_* and parm_frames_rejected_total.
struct UpstreamCounters {
  uint64_t messages_received = 0;
  uint64_t messages_sent = 0;
  uint64_t frames_malformed = 0;   // the envelope or its frames
  uint64_t frames_unexpected = 0;  // of a kind that only a frontend sends
  uint64_t frames_stale = 0;       // from a connection given up
  uint64_t unknown_instances = 0;  // another nonce than the last Hello's
  // Tasks while down or with too large a tensor; any that a pipe refused.
  uint64_t sends_refused = 0;
  uint64_t hellos = 0;
  uint64_t hellos_refused = 0;     // also counted as malformed
  uint64_t handshakes_failed = 0;  // wrong or missing keys, no ZeroMQ
  uint64_t connections_lost = 0;
  uint64_t reconnects = 0;
};

/// Threads: the loop's only; callbacks come on it, never inside a call here.
class ZmqUpstream : public WorkerTransport {
 public:
  /// Starts connecting to all workers, in any state they may be.
  /// Errors: kInvalidArgument for an endpoint libzmq refuses, naming it.
  static absl::StatusOr<std::unique_ptr<ZmqUpstream>> Create(
      boost::asio::io_context& loop, UpstreamOptions options,
      UpstreamListener* listener);

  virtual const UpstreamCounters& counters() const = 0;
  /// Whether the worker has said hello on its present connection.
  virtual bool connected(WorkerId worker) const = 0;
};

}  // namespace parm
