#pragma once

// One TLS connection of a client, over a socket that does not block: OpenSSL
// itself, without Asio's layer over it, which takes no write that does not
// wait. Internal to frontend/serve/, between ClientStream and the socket.

#include <boost/asio/buffer.hpp>
#include <cstddef>
#include <memory>

#include "frontend/serve/tls_context.h"

struct ssl_st;

namespace parm {

/// Threads: one.
class TlsSession {
 public:
  /// What a read or write came to.
  enum class Outcome {
    kDone,        // `size` bytes
    kAwaitRead,   // again once the socket can be read from
    kAwaitWrite,  // again once it can be written to
    kEnd,         // the peer has ended the connection
    kFailed,      // no handshake, or broken; nothing more can come
  };
  struct Result {
    Outcome outcome;
    size_t size = 0;
  };
  /// Why there is no handshake.
  enum class Failure {
    kOther,
    kCertificate,  // the client's is missing or wrong
    kPlainHttp,    // it does not speak TLS, but HTTP
  };

  /// Server's side. `descriptor` outlives this and is not owned.
  TlsSession(std::shared_ptr<const TlsContext> context, int descriptor);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  /// Reads what clients say, their handshake first.
  Result Read(boost::asio::mutable_buffer target);

  /// Writes as much of [first, last) as goes. After kAwaitRead or kAwaitWrite
  /// the next call must have the same bytes.
  Result Write(const boost::asio::const_buffer* first,
               const boost::asio::const_buffer* last);

  /// Tells the peer that nothing more will come, if it takes that at once.
  void SayEnd();

  bool handshaking() const { return handshaking_; }
  /// After kFailed while handshaking().
  Failure failure() const { return failure_; }

 private:
  struct Free {
    void operator()(ssl_st* session) const;
  };

  Result Judge(int returned, size_t size);

  const std::shared_ptr<const TlsContext> context_;
  const std::unique_ptr<ssl_st, Free> session_;
  bool handshaking_ = true;
  bool broken_ = false;
  Failure failure_ = Failure::kOther;
};

}  // namespace parm
