#include "frontend/serve/tls_context.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <ctime>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "proto/atomic_file.h"

namespace parm {
namespace {

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* object) const { Free(object); }
};
using Certificate = std::unique_ptr<X509, Deleter<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;

/// Of resumed sessions: they are this service's.
constexpr unsigned char kSessionContext[] = "parm";
constexpr int64_t kMaxPemBytes = int64_t{1} << 20;
/// ALPN: the one protocol of this port.
constexpr absl::string_view kHttp11 = "http/1.1";

Bio ReaderOf(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

/// OpenSSL's words for what went wrong last; the queue is empty then.
std::string Reason() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason == nullptr ? "no reason given" : reason;
}

absl::Status Wrong(absl::string_view key, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(key, ": ", what));
}

/// Says no where OpenSSL would ask on the terminal.
int NoPassphrase(char* /*buffer*/, int /*size*/, int /*writing*/,
                 void* /*data*/) {
  return -1;
}

absl::StatusOr<std::vector<Certificate>> CertificatesIn(
    absl::string_view key, const std::string& pem) {
  std::vector<Certificate> all;
  const Bio reader = ReaderOf(pem);
  while (X509* const one = PEM_read_bio_X509_AUX(reader.get(), nullptr,
                                                 NoPassphrase, nullptr)) {
    all.emplace_back(one);
  }
  const bool at_end =
      ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string reason = Reason();
  if (all.empty()) return Wrong(key, "holds no certificate in PEM");
  if (!at_end) {
    return Wrong(key, absl::StrCat("a certificate cannot be read: ", reason));
  }
  return all;
}

absl::Status UseCertificates(const std::string& pem, SSL_CTX* context) {
  PARM_ASSIGN_OR_RETURN(std::vector<Certificate> chain,
                        CertificatesIn("certificate_chain", pem));
  if (SSL_CTX_use_certificate(context, chain[0].get()) != 1) {
    return Wrong("certificate_chain",
                 absl::StrCat("cannot be used: ", Reason()));
  }
  for (size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) {
      return Wrong("certificate_chain",
                   absl::StrCat("cannot be used: ", Reason()));
    }
  }
  return absl::OkStatus();
}

absl::Status UseKey(const std::string& pem, SSL_CTX* context) {
  const Bio reader = ReaderOf(pem);
  const Key key(
      PEM_read_bio_PrivateKey(reader.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) {
    return Wrong("private_key",
                 absl::StrCat("holds no private key in PEM that can be read "
                              "without a passphrase: ",
                              Reason()));
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return Wrong("private_key",
                 absl::StrCat("does not belong to the first certificate of "
                              "certificate_chain: ",
                              Reason()));
  }
  return absl::OkStatus();
}

absl::Status AskClients(const TlsIdentity& identity, SSL_CTX* context) {
  if (identity.client_ca.empty()) return absl::OkStatus();
  PARM_ASSIGN_OR_RETURN(const std::vector<Certificate> authorities,
                        CertificatesIn("client_ca", identity.client_ca));
  for (const Certificate& authority : authorities) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) !=
            1 ||
        SSL_CTX_add_client_CA(context, authority.get()) != 1) {
      return Wrong("client_ca", absl::StrCat("cannot be used: ", Reason()));
    }
  }
  SSL_CTX_set_verify(context,
                     SSL_VERIFY_PEER | (identity.require_client_certificate
                                            ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                            : 0),
                     nullptr);
  return absl::OkStatus();
}

int ChooseProtocol(SSL* /*session*/, const unsigned char** chosen,
                   unsigned char* chosen_size, const unsigned char* offered,
                   unsigned offered_size, void* /*data*/) {
  for (unsigned at = 0; at < offered_size; at += 1U + offered[at]) {
    const absl::string_view name(
        reinterpret_cast<const char*>(offered + at + 1), offered[at]);
    if (name != kHttp11) continue;
    *chosen = offered + at + 1;
    *chosen_size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

void Harden(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // The second: a connection that ends without a farewell has ended all the
  // same; what a request is, is known from its own length.
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF |
                                   SSL_OP_NO_COMPRESSION);
  // Idle connections give their 34 KB back.
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  // Else one read would go on for as long as a client sends records that are
  // no data, such as new keys, and hold up the loop.
  SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
  // Sessions are resumed by tickets: the server keeps none.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_id_context(context, kSessionContext,
                                 sizeof(kSessionContext) - 1);
  SSL_CTX_set_alpn_select_cb(context, ChooseProtocol, nullptr);
}

absl::StatusOr<std::shared_ptr<SSL_CTX>> MakeContext(
    const TlsIdentity& identity) {
  ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()),
                                   SSL_CTX_free);
  if (context == nullptr) {
    return absl::InternalError(
        absl::StrCat("OpenSSL makes no context: ", Reason()));
  }
  Harden(context.get());
  PARM_RETURN_IF_ERROR(
      UseCertificates(identity.certificate_chain, context.get()));
  PARM_RETURN_IF_ERROR(UseKey(identity.private_key, context.get()));
  PARM_RETURN_IF_ERROR(AskClients(identity, context.get()));
  return context;
}

absl::StatusOr<std::string> ReadAll(absl::string_view key,
                                    const std::string& path) {
  absl::StatusOr<std::string> text = ReadWholeFile(path, kMaxPemBytes);
  if (!text.ok()) {
    return Wrong(key,
                 absl::StrCat("cannot be read: ", text.status().message()));
  }
  if (text->empty()) return Wrong(key, "is empty");
  return text;
}

int64_t EndOf(const SSL_CTX* context) {
  std::tm end = {};
  ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(context)), &end);
  return timegm(&end);
}

absl::StatusOr<TlsIdentity> Load(const TlsFiles& files) {
  TlsIdentity identity{.require_client_certificate =
                           files.require_client_certificate};
  PARM_ASSIGN_OR_RETURN(identity.certificate_chain,
                        ReadAll("certificate_chain", files.certificate_chain));
  PARM_ASSIGN_OR_RETURN(identity.private_key,
                        ReadAll("private_key", files.private_key));
  if (!files.client_ca.empty()) {
    PARM_ASSIGN_OR_RETURN(identity.client_ca,
                          ReadAll("client_ca", files.client_ca));
  }
  PARM_ASSIGN_OR_RETURN(const std::shared_ptr<SSL_CTX> context,
                        MakeContext(identity));
  identity.not_after_unix_s = EndOf(context.get());
  return identity;
}

}  // namespace

absl::StatusOr<TlsIdentity> LoadTlsIdentity(const TlsFiles& files) {
  absl::StatusOr<TlsIdentity> identity = Load(files);
  if (identity.ok()) return identity;
  return absl::InvalidArgumentError(absl::StrCat(
      identity.status().message(), " (certificate_chain ",
      files.certificate_chain, ", private_key ", files.private_key,
      files.client_ca.empty() ? "" : ", client_ca ", files.client_ca, ")"));
}

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::Create(
    const TlsIdentity& identity) {
  PARM_ASSIGN_OR_RETURN(std::shared_ptr<SSL_CTX> context,
                        MakeContext(identity));
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(context)));
}

}  // namespace parm
