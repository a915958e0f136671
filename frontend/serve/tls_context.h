#pragma once

// By which certificates a listening port speaks TLS: files read and found good,
// so that a mistake is a sentence at start. The HTTP front makes its sessions
// of a TlsContext (tls_session.h); gRPC's library takes the PEM texts.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

struct ssl_ctx_st;

namespace parm {

/// Paths of PEM files.
struct TlsFiles {
  std::string certificate_chain;  // the server's own certificate first
  std::string private_key;        // of that one, without a passphrase
  std::string client_ca;          // empty: clients are asked for none
  /// With client_ca: whether one without a certificate is refused. A wrong one
  /// is in any case.
  bool require_client_certificate = true;
};

/// What the files held.
struct TlsIdentity {
  std::string certificate_chain;
  std::string private_key;
  std::string client_ca;
  bool require_client_certificate = true;
  /// When the server's certificate ends, seconds since 1970.
  int64_t not_after_unix_s = 0;

  bool operator==(const TlsIdentity&) const = default;
};

/// Errors: kInvalidArgument with a sentence that begins with the key of
/// proto/config.proto's Tls and names the file: it cannot be read, holds no
/// certificate or key, a key of another certificate, one that is too weak or
/// has a passphrase.
absl::StatusOr<TlsIdentity> LoadTlsIdentity(const TlsFiles& files);

/// TLS 1.2 and later, without renegotiation or compression.
/// Threads: const, any.
class TlsContext {
 public:
  /// Errors: as LoadTlsIdentity.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> Create(
      const TlsIdentity& identity);

  /// OpenSSL's SSL_CTX, alive as long as this.
  ssl_ctx_st* raw() const { return context_.get(); }

 private:
  explicit TlsContext(std::shared_ptr<ssl_ctx_st> context)
      : context_(std::move(context)) {}

  const std::shared_ptr<ssl_ctx_st> context_;
};

}  // namespace parm
