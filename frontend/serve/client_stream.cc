#include "frontend/serve/client_stream.h"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

namespace parm {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Outcome = TlsSession::Outcome;

}  // namespace

ClientStream::ClientStream(LoopSocket socket,
                           std::shared_ptr<const TlsContext> tls,
                           HttpCounters* counters)
    : socket_(std::move(socket)), counters_(counters) {
  if (tls == nullptr) return;
  tls_ = std::make_unique<TlsSession>(std::move(tls), socket_.native_handle());
}

void ClientStream::Open() {
  error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(tcp::no_delay(true), ignored);
}

void ClientStream::Post(Handler handler, error_code error, size_t size) {
  asio::post(socket_.get_executor(), [handler = std::move(handler), error,
                                      size] { handler(error, size); });
}

void ClientStream::ReadTls(asio::mutable_buffer target, Handler on_read) {
  const bool handshaking = tls_->handshaking();
  const TlsSession::Result result = tls_->Read(target);
  if (handshaking && !tls_->handshaking()) ++counters_->handshakes;
  switch (result.outcome) {
    case Outcome::kDone:
      return Post(std::move(on_read), {}, result.size);
    case Outcome::kEnd:
      return Post(std::move(on_read), asio::error::eof, 0);
    case Outcome::kFailed:
      return Post(std::move(on_read), asio::error::connection_reset, 0);
    case Outcome::kAwaitRead:
    case Outcome::kAwaitWrite:
      break;
  }
  socket_.async_wait(
      result.outcome == Outcome::kAwaitRead ? tcp::socket::wait_read
                                            : tcp::socket::wait_write,
      [this, target, on_read = std::move(on_read)](error_code error) mutable {
        if (!error && !socket_.is_open()) error = asio::error::bad_descriptor;
        if (error) return on_read(error, 0);
        ReadTls(target, std::move(on_read));
      });
}

size_t ClientStream::WriteTlsSome(const Pieces& pieces, error_code& error) {
  const TlsSession::Result result =
      tls_->Write(pieces.data(), pieces.data() + pieces.size());
  if (result.outcome == Outcome::kFailed || result.outcome == Outcome::kEnd) {
    error = asio::error::connection_reset;
  }
  return result.size;
}

void ClientStream::WriteTls(Pieces& pieces, size_t first, size_t written,
                            Handler on_written) {
  const TlsSession::Result result =
      tls_->Write(pieces.data() + first, pieces.data() + pieces.size());
  written += result.size;
  if (result.outcome == Outcome::kDone) {
    return Post(std::move(on_written), {}, written);
  }
  if (result.outcome == Outcome::kFailed || result.outcome == Outcome::kEnd) {
    return Post(std::move(on_written), asio::error::connection_reset, written);
  }
  size_t taken = result.size;
  while (first < pieces.size() && taken >= pieces[first].size()) {
    taken -= pieces[first++].size();
  }
  pieces[first] += taken;
  socket_.async_wait(
      result.outcome == Outcome::kAwaitRead ? tcp::socket::wait_read
                                            : tcp::socket::wait_write,
      [this, &pieces, first, written,
       on_written = std::move(on_written)](error_code error) mutable {
        if (!error && !socket_.is_open()) error = asio::error::bad_descriptor;
        if (error) return on_written(error, written);
        WriteTls(pieces, first, written, std::move(on_written));
      });
}

void ClientStream::ShutdownSend() {
  if (tls_ != nullptr) tls_->SayEnd();
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
}

void ClientStream::Close() {
  if (tls_ != nullptr) tls_->SayEnd();
  error_code ignored;
  socket_.close(ignored);
}

}  // namespace parm
