#include "frontend/serve/grpc/tls_credentials.h"

#include <grpc/grpc.h>

#include <utility>

namespace parm {
namespace {

grpc_ssl_client_certificate_request_type AskedOfClients(
    const TlsIdentity& identity) {
  if (identity.client_ca.empty()) {
    return GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
  }
  return identity.require_client_certificate
             ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
             : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
}

}  // namespace

TlsCredentials::TlsCredentials(TlsIdentity identity)
    : credentials_(grpc_ssl_server_credentials_create_with_options(
          grpc_ssl_server_credentials_create_options_using_config_fetcher(
              AskedOfClients(identity), Fetch, this))),
      identity_(std::move(identity)) {}

TlsCredentials::~TlsCredentials() {
  grpc_server_credentials_release(credentials_);
}

absl::Status TlsCredentials::Use(const TlsIdentity& identity) {
  MutexLock lock(&mutex_);
  if (AskedOfClients(identity) != AskedOfClients(identity_)) {
    return absl::FailedPreconditionError(
        "whether clients are asked for certificates has changed: this takes a "
        "restart");
  }
  fetched_ = fetched_ && identity == identity_;
  identity_ = identity;
  return absl::OkStatus();
}

int TlsCredentials::AddPortToServer(const std::string& address,
                                    grpc_server* server) {
  return grpc_server_add_http2_port(server, address.c_str(), credentials_);
}

grpc_ssl_certificate_config_reload_status TlsCredentials::Fetch(
    void* self, grpc_ssl_server_certificate_config** config) {
  return static_cast<TlsCredentials*>(self)->Give(config);
}

grpc_ssl_certificate_config_reload_status TlsCredentials::Give(
    grpc_ssl_server_certificate_config** config) {
  MutexLock lock(&mutex_);
  if (std::exchange(fetched_, true)) {
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  }
  const grpc_ssl_pem_key_cert_pair pair = {
      .private_key = identity_.private_key.c_str(),
      .cert_chain = identity_.certificate_chain.c_str()};
  // The library wants some authority even where clients are asked for nothing.
  *config = grpc_ssl_server_certificate_config_create(
      identity_.client_ca.empty() ? pair.cert_chain
                                  : identity_.client_ca.c_str(),
      &pair, 1);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

}  // namespace parm
