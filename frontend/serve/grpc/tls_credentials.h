#pragma once

// The certificates of the gRPC port, for the gRPC library: other ones may be
// put in while it serves. Internal to frontend/serve/grpc/.

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/mutex.h"
#include "frontend/serve/tls_context.h"

namespace parm {

/// TLS 1.2 and later. The library asks for the certificates at each handshake.
/// Threads: any.
class TlsCredentials final : public grpc::ServerCredentials {
 public:
  explicit TlsCredentials(TlsIdentity identity);
  ~TlsCredentials() override;

  /// Takes these from the next handshake on.
  /// Errors: kFailedPrecondition if clients would be asked for certificates
  /// where they were not, or the other way round; nothing has changed then.
  absl::Status Use(const TlsIdentity& identity);

  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& /*ignored*/)
      override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override;
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config);
  grpc_ssl_certificate_config_reload_status Give(
      grpc_ssl_server_certificate_config** config);

  grpc_server_credentials* credentials_;
  Mutex mutex_;  // Guards what follows.
  TlsIdentity identity_ ABSL_GUARDED_BY(mutex_);
  bool fetched_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace parm
