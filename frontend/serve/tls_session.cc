#include "frontend/serve/tls_session.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/status_macros.h"

namespace parm {
namespace {

namespace asio = boost::asio;

/// What one TLS record takes. Pieces smaller than that are gathered, as each
/// record costs a system call and 22 bytes.
constexpr size_t kRecordBytes = SSL3_RT_MAX_PLAIN_LENGTH;

// ---- A BIO over a socket --------------------------------------------------
// OpenSSL's own one writes without MSG_NOSIGNAL: SIGPIPE would end the process
// when a client has gone.

int DescriptorOf(BIO* bio) {
  return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio)));
}

int WriteBio(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent = send(DescriptorOf(bio), data, static_cast<size_t>(size),
                            MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
    BIO_set_retry_write(bio);
  }
  return static_cast<int>(sent);
}

int ReadBio(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t got =
      recv(DescriptorOf(bio), data, static_cast<size_t>(size), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  if (got == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return static_cast<int>(got);
}

long ControlBio(BIO* bio, int command, long /*number*/, void* /*pointer*/) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) {
    return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  }
  return 0;
}

const BIO_METHOD* SocketMethod() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* const made =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    PARM_CHECK(made != nullptr);
    BIO_meth_set_write(made, WriteBio);
    BIO_meth_set_read(made, ReadBio);
    BIO_meth_set_ctrl(made, ControlBio);
    return made;
  }();
  return method;
}

/// The first bytes to write, at most a record: where they lie if they lie
/// together, else gathered in `record`.
asio::const_buffer NextRecord(const asio::const_buffer* first,
                              const asio::const_buffer* last, size_t skip,
                              std::array<char, kRecordBytes>* record) {
  size_t size = 0;
  for (const asio::const_buffer* piece = first; piece != last; ++piece) {
    const asio::const_buffer rest = *piece + skip;
    skip = 0;
    if (size == 0 && (rest.size() >= kRecordBytes || piece + 1 == last)) {
      return asio::buffer(rest, kRecordBytes);
    }
    const size_t taken = std::min(rest.size(), kRecordBytes - size);
    std::memcpy(record->data() + size, rest.data(), taken);
    size += taken;
    if (size == kRecordBytes) break;
  }
  return {record->data(), size};
}

}  // namespace

void TlsSession::Free::operator()(ssl_st* session) const { SSL_free(session); }

TlsSession::TlsSession(std::shared_ptr<const TlsContext> context,
                       int descriptor)
    : context_(std::move(context)), session_(SSL_new(context_->raw())) {
  BIO* const bio = BIO_new(SocketMethod());
  PARM_CHECK(session_ != nullptr && bio != nullptr);  // out of memory
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(descriptor)));
  BIO_set_init(bio, 1);
  SSL_set_bio(session_.get(), bio, bio);
  SSL_set_accept_state(session_.get());
}

TlsSession::~TlsSession() = default;

TlsSession::Result TlsSession::Judge(int returned, size_t size) {
  if (handshaking_ && SSL_is_init_finished(session_.get()) != 0) {
    handshaking_ = false;
  }
  if (returned > 0) return {.outcome = Outcome::kDone, .size = size};
  switch (SSL_get_error(session_.get(), returned)) {
    case SSL_ERROR_WANT_READ:
      return {.outcome = Outcome::kAwaitRead};
    case SSL_ERROR_WANT_WRITE:
      return {.outcome = Outcome::kAwaitWrite};
    case SSL_ERROR_ZERO_RETURN:
      return {.outcome = Outcome::kEnd};
    default:
      break;
  }
  broken_ = true;
  const int reason = ERR_GET_REASON(ERR_peek_error());
  if (reason == SSL_R_HTTP_REQUEST) {
    failure_ = Failure::kPlainHttp;
  } else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE ||
             reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    failure_ = Failure::kCertificate;
  }
  return {.outcome = Outcome::kFailed};
}

TlsSession::Result TlsSession::Read(asio::mutable_buffer target) {
  if (broken_) return {.outcome = Outcome::kFailed};
  ERR_clear_error();
  size_t size = 0;
  const int returned =
      SSL_read_ex(session_.get(), target.data(), target.size(), &size);
  return Judge(returned, size);
}

TlsSession::Result TlsSession::Write(const asio::const_buffer* first,
                                     const asio::const_buffer* last) {
  std::array<char, kRecordBytes> gathered;
  size_t written = 0;
  size_t skip = 0;  // of *first
  while (true) {
    while (first != last && skip == first->size()) {
      ++first;
      skip = 0;
    }
    if (first == last) return {.outcome = Outcome::kDone, .size = written};
    if (broken_) return {.outcome = Outcome::kFailed, .size = written};
    const asio::const_buffer record = NextRecord(first, last, skip, &gathered);
    ERR_clear_error();
    size_t size = 0;
    const int returned =
        SSL_write_ex(session_.get(), record.data(), record.size(), &size);
    const Result result = Judge(returned, size);
    if (result.outcome != Outcome::kDone) {
      return {.outcome = result.outcome, .size = written};
    }
    written += size;
    while (size > 0) {
      const size_t taken = std::min(size, first->size() - skip);
      skip += taken;
      size -= taken;
      if (skip == first->size() && size > 0) {
        ++first;
        skip = 0;
      }
    }
  }
}

void TlsSession::SayEnd() {
  if (broken_ || handshaking_) return;
  ERR_clear_error();
  SSL_shutdown(session_.get());
  ERR_clear_error();
}

}  // namespace parm
