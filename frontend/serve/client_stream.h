#pragma once

// The bytes from and to one client of an HTTP port: a socket, with a TLS
// session before it if the port has certificates. Internal to frontend/serve/,
// below HttpConnection. A plain stream costs what its socket does.

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "frontend/serve/http_counters.h"
#include "frontend/serve/tls_session.h"

namespace parm {

using LoopSocket =
    boost::asio::basic_stream_socket<boost::asio::ip::tcp,
                                     boost::asio::io_context::executor_type>;

/// At most one read and one write under way at a time. Handlers keep the
/// stream's owner alive, run later on the loop, and after Close with an error
/// or not at all.
/// Threads: the loop's alone.
class ClientStream {
 public:
  using error_code = boost::system::error_code;
  using Handler = std::function<void(error_code, size_t)>;
  using Pieces = std::vector<boost::asio::const_buffer>;

  /// `tls` null: plain.
  ClientStream(LoopSocket socket, std::shared_ptr<const TlsContext> tls,
               HttpCounters* counters);

  /// Sets the socket up.
  void Open();

  /// Reads at least one byte, behind the handshake if there is one. The error
  /// is eof at the orderly end; any while handshaking() means that there is no
  /// session.
  template <typename OnRead>
  void AsyncRead(boost::asio::mutable_buffer target, OnRead on_read) {
    if (tls_ != nullptr) return ReadTls(target, std::move(on_read));
    socket_.async_read_some(target, std::move(on_read));
  }

  /// Writes what goes at once; would_block if that is nothing.
  size_t WriteSome(const Pieces& pieces, error_code& error) {
    if (tls_ != nullptr) return WriteTlsSome(pieces, error);
    return socket_.write_some(pieces, error);
  }

  /// Writes pieces[first], pieces[first + 1] and so on as a whole; they stay as
  /// they are until then.
  template <typename OnWritten>
  void AsyncWrite(Pieces& pieces, size_t first, OnWritten on_written) {
    if (tls_ != nullptr) {
      return WriteTls(pieces, first, 0, std::move(on_written));
    }
    boost::asio::async_write(socket_,
                             Range{.first = pieces.data() + first,
                                   .last = pieces.data() + pieces.size()},
                             std::move(on_written));
  }

  bool handshaking() const { return tls_ != nullptr && tls_->handshaking(); }
  TlsSession::Failure failure() const { return tls_->failure(); }
  /// After a failed handshake: what follows is read and written as it is.
  /// Needs: nothing under way.
  void BecomePlain() { tls_ = nullptr; }

  /// Says that nothing more will be written.
  void ShutdownSend();
  void Close();

 private:
  /// A list of buffers that is cheap to copy.
  struct Range {
    using value_type = boost::asio::const_buffer;
    using const_iterator = const boost::asio::const_buffer*;
    const_iterator begin() const { return first; }
    const_iterator end() const { return last; }
    const_iterator first;
    const_iterator last;
  };

  void ReadTls(boost::asio::mutable_buffer target, Handler on_read);
  size_t WriteTlsSome(const Pieces& pieces, error_code& error);
  void WriteTls(Pieces& pieces, size_t first, size_t written,
                Handler on_written);
  void Post(Handler handler, error_code error, size_t size);

  LoopSocket socket_;
  std::unique_ptr<TlsSession> tls_;  // null: plain
  HttpCounters* const counters_;
};

}  // namespace parm
