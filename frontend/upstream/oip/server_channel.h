#pragma once

// The questions that one model server is asked, whatever the protocol: what is
// behind OipServer, which knows neither HTTP nor gRPC. A channel translates and
// counts; what an answer means is OipServer's.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/time.h"
#include "boost/asio/io_context.hpp"
#include "frontend/upstream/oip/oip_options.h"
#include "proto/oip/messages.h"

namespace parm {

/// How an exchange ended; label `end` of parm_server_exchanges_total.
enum class ExchangeEnd : uint8_t {
  kReplied,       // whole, whatever it says
  kNotConnected,  // nobody listens, or the name does not resolve
  kBroken,        // the connection ended before anything of a reply came
  kMalformed,     // not of the protocol, or half a reply
  kTooLarge,
  kTimedOut,
  kDropped,  // nobody wanted the reply any more
};
inline constexpr size_t kNumExchangeEnds = 7;

struct ConnectionCounters {
  uint64_t exchanges[kNumExchangeEnds] = {};
  uint64_t opened = 0;
  uint64_t reused = 0;        // exchanges on a warm connection
  uint64_t resent = 0;        // the warm connection turned out to be closed
  uint64_t closed_idle = 0;   // by the server, between exchanges
  uint64_t drained = 0;       // replies read to the end for nobody
  uint64_t cut = 0;           // replies for nobody that were too long for that
  uint64_t withdrawn = 0;     // cancelled, and the server has heard of it
  uint64_t refused_full = 0;  // as many as are allowed were under way
};

enum class ServerQuestion : uint8_t {
  kReady,     // OK: it is
  kMetadata,  // what kind of server it is; the channel adapts to it
  kModelReady,
  kModelMetadata,  // content: oip::ModelMetadata
  kInfer,          // content: oip::InferResponse
};

struct ServerAnswer {
  ExchangeEnd end = ExchangeEnd::kReplied;
  /// kReplied: OK, or what the server says against it; kDataLoss if what it
  /// says makes no sense. Else: what happened.
  absl::Status status;
  /// Not OK, but another server may do better.
  bool retryable = false;
  std::variant<std::monostate, oip::ModelMetadata, oip::InferResponse> content;
};

struct ServerChannelParts {  // What is pointed to outlives the channel.
  boost::asio::io_context* loop = nullptr;
  const OipServerOptions* server = nullptr;
  const OipOptions* all = nullptr;
  ConnectionCounters* counters = nullptr;
  /// The server closed a connection on which nothing was under way: often the
  /// first sign that it has ended.
  std::function<void()> on_closed_idle;
};

/// Threads: the loop's only. `done` runs on it, never inside a call of this
///          class but for Sweep. Destroyed: no callback runs any more.
/// Bound:   2 * max_in_flight + 2 exchanges at a time.
class ServerChannel {
 public:
  using Done = std::function<void(ServerAnswer)>;
  virtual ~ServerChannel() = default;

  /// Begins an exchange and returns its id. `model`: index into the options'
  /// `serves`; of no meaning to the first two questions.
  /// Errors: kResourceExhausted if too many are under way.
  virtual absl::StatusOr<uint64_t> Ask(ServerQuestion question, size_t model,
                                       Time give_up, Done done) = 0;

  /// The same for kInfer. All outputs are asked for; request.headers are handed
  /// on. `request` names no model.
  /// Errors: also kInvalidArgument for a tensor that cannot be said.
  virtual absl::StatusOr<uint64_t> Infer(size_t model,
                                         oip::InferRequest request,
                                         Time give_up, Done done) = 0;

  /// Nobody wants the answer: `done` says kDropped once the server does not
  /// hold it any more, as far as that can be known. Unknown ids are ignored.
  virtual void Drop(uint64_t exchange) = 0;

  /// Ends every connection; no `done` runs for what was under way.
  virtual void CloseAll() = 0;

  /// Ends what was to be given up by `now`. To be called every now and then.
  virtual void Sweep(Time now) = 0;

  virtual size_t num_busy() const = 0;

  /// As far as it is known.
  virtual ServerKind kind() const = 0;
};

}  // namespace parm
