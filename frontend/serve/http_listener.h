#pragma once

// A listening socket and its connections on the caller's loop; the handler
// decides what is answered. HttpServer and MetricsServer are made of it.

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "frontend/serve/http_counters.h"
#include "frontend/serve/http_message.h"
#include "frontend/serve/http_options.h"

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace parm {

/// Threads: the loop's alone, Create and destruction included.
class HttpListener {
 public:
  /// Listens at once. `io` and `handler` outlive the listener.
  /// Errors: kInvalidArgument for options that make no sense, certificates
  /// that are none;
  /// kFailedPrecondition if the address cannot be listened on (in use, not
  /// ours), with the system's words.
  static absl::StatusOr<std::unique_ptr<HttpListener>> Create(
      boost::asio::io_context& io, const HttpOptions& options,
      HttpHandler* handler);

  /// Closes everything at once, and abandons what is unanswered.
  ~HttpListener();

  uint16_t port() const;
  const HttpCounters& counters() const;
  HttpCounters& counters();

  /// Takes these certificates from the next connection on; those that are open
  /// keep theirs.
  /// Errors: as TlsContext::Create; nothing has changed then.
  absl::Status UseTls(const TlsIdentity& identity);

  /// No new connections; those that are here stay.
  void StopAccepting();

  /// StopAccepting, and ends each connection once nothing is under way on it:
  /// idle ones in half a second, others behind their last reply, which says so.
  /// A request of which only a part is here is answered 503, or not at all
  /// behind others' replies. `done` runs once on the loop when all have ended;
  /// never inside this call.
  void Drain(std::function<void()> done);

 private:
  class Impl;
  explicit HttpListener(std::shared_ptr<Impl> impl);
  // Shared with operations that the loop has yet to end.
  const std::shared_ptr<Impl> impl_;
};

}  // namespace parm
