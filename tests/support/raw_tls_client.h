#pragma once

// RawHttpClient over TLS: sends what a test wants behind a handshake, and tells
// how that ended. OpenSSL, blocking; waits are bounded as its base's are.

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>

#include <memory>
#include <string>

#include "base/status_macros.h"
#include "tests/support/raw_http_client.h"

namespace parm {

struct TlsClientOptions {
  std::string server_ca;    // the server's certificate must lead there
  std::string certificate;  // empty: none of its own
  std::string key;
  int max_version = 0;  // such as TLS1_1_VERSION; 0: any
  int receive_buffer_bytes = 0;
};

class RawTlsClient : public RawHttpClient {
 public:
  /// Connects and shakes hands. `resumed`: a session of an earlier client.
  RawTlsClient(uint16_t port, const TlsClientOptions& options,
               SSL_SESSION* resumed = nullptr)
      : RawHttpClient(port, options.receive_buffer_bytes),
        context_(SSL_CTX_new(TLS_client_method())) {
    // OpenSSL writes to sockets whose peer has gone.
    signal(SIGPIPE, SIG_IGN);
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    PARM_CHECK(SSL_CTX_load_verify_locations(
                   context_.get(), options.server_ca.c_str(), nullptr) == 1);
    if (!options.certificate.empty()) {
      PARM_CHECK(SSL_CTX_use_certificate_chain_file(
                     context_.get(), options.certificate.c_str()) == 1 &&
                 SSL_CTX_use_PrivateKey_file(context_.get(),
                                             options.key.c_str(),
                                             SSL_FILETYPE_PEM) == 1);
    }
    if (options.max_version != 0) {
      // Else OpenSSL itself would refuse.
      SSL_CTX_set_security_level(context_.get(), 0);
      SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
      SSL_CTX_set_max_proto_version(context_.get(), options.max_version);
    }
    session_.reset(SSL_new(context_.get()));
    PARM_CHECK(session_ != nullptr);
    if (resumed != nullptr) SSL_set_session(session_.get(), resumed);
    SSL_set_fd(session_.get(), descriptor());
    ERR_clear_error();
    shaken_ = SSL_connect(session_.get()) == 1;
  }
  ~RawTlsClient() override { session_.reset(); }

  /// As this side sees it: with TLS 1.3 the server may still refuse.
  bool shaken() const { return shaken_; }
  bool resumed() const { return SSL_session_reused(session_.get()) == 1; }
  const char* version() const { return SSL_get_version(session_.get()); }
  /// For another client; the caller frees it.
  SSL_SESSION* TakeSession() { return SSL_get1_session(session_.get()); }
  /// Whether the server has said that nothing more comes.
  bool told_end() const {
    return (SSL_get_shutdown(session_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
  }
  /// The common name of the server's certificate.
  std::string ServerName() const {
    X509* const certificate = SSL_get1_peer_certificate(session_.get());
    char name[128] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate),
                              NID_commonName, name, sizeof(name));
    X509_free(certificate);
    return name;
  }

 protected:
  ssize_t Transmit(const char* bytes, size_t size) override {
    return shaken_ ? SSL_write(session_.get(), bytes, static_cast<int>(size))
                   : -1;
  }
  ssize_t Fetch(char* bytes, size_t size) override {
    errno = 0;
    return shaken_ ? SSL_read(session_.get(), bytes, static_cast<int>(size))
                   : 0;
  }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL* session) const { SSL_free(session); }
  };
  const std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> session_;
  bool shaken_ = false;
};

}  // namespace parm
