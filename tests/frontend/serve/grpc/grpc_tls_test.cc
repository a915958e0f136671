// The gRPC port with certificates.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/serve/grpc/grpc_harness.h"
#include "tests/support/matchers.h"
#include "tests/support/raw_http_client.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/test_certificates.h"

namespace parm {
namespace {

using ::testing::StartsWith;

class GrpcTlsTest : public ::testing::Test {
 protected:
  GrpcOptions Options(bool asks_clients) const {
    return {.tls = Identity(server_, asks_clients)};
  }
  TlsIdentity Identity(const TestAuthority::Files& server,
                       bool asks_clients) const {
    absl::StatusOr<TlsIdentity> identity = LoadTlsIdentity(
        {.certificate_chain = server.certificate,
         .private_key = server.key,
         .client_ca = asks_clients ? authority_.certificate() : ""});
    EXPECT_THAT(identity, IsOk());
    return *std::move(identity);
  }

  /// What one call comes to over a connection of its own.
  static grpc::StatusCode Ask(
      uint16_t port, const std::shared_ptr<grpc::ChannelCredentials>& channel) {
    const auto stub = inference::GRPCInferenceService::NewStub(
        grpc::CreateChannel(absl::StrCat("127.0.0.1:", port), channel));
    grpc::ClientContext context;
    inference::ModelInferResponse response;
    return stub->ModelInfer(&context, EchoRequest(), &response).error_code();
  }
  static std::shared_ptr<grpc::ChannelCredentials> Trusting(
      const TestAuthority& authority, const TestAuthority::Files& own = {}) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ReadFile(authority.certificate());
    if (!own.key.empty()) {
      options.pem_private_key = ReadFile(own.key);
      options.pem_cert_chain = ReadFile(own.certificate);
    }
    return grpc::SslCredentials(options);
  }

  ScratchDirectory scratch_;
  const TestAuthority authority_{scratch_.path(), "authority"};
  const TestAuthority stranger_{scratch_.path(), "stranger"};
  const TestAuthority::Files server_ = authority_.Sign("server");
};

TEST_F(GrpcTlsTest, ServesThoseWhoTrustItsCertificate) {
  GrpcHarness harness(Options(/*asks_clients=*/false));
  EXPECT_EQ(Ask(harness.port(), Trusting(authority_)), grpc::StatusCode::OK);
  EXPECT_EQ(Ask(harness.port(), Trusting(stranger_)),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Ask(harness.port(), grpc::InsecureChannelCredentials()),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcTlsTest, RefusesMissingAndWrongClientCertificates) {
  GrpcHarness harness(Options(/*asks_clients=*/true));
  EXPECT_EQ(Ask(harness.port(), Trusting(authority_, authority_.Sign("good"))),
            grpc::StatusCode::OK);
  EXPECT_EQ(Ask(harness.port(), Trusting(authority_)),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Ask(harness.port(), Trusting(authority_, stranger_.Sign("bad"))),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(harness.OnLoop([&] { return harness.service().num_queries; }), 1u);
}

TEST_F(GrpcTlsTest, EndsConnectionsThatDoNotShakeHands) {
  GrpcOptions options = Options(/*asks_clients=*/false);
  options.handshake_timeout = Milliseconds(200);
  GrpcHarness harness(options);
  RawHttpClient plain(harness.port());
  ASSERT_TRUE(plain.Send("GET / HTTP/1.1\r\nHost: t\r\n\r\n"));
  EXPECT_TRUE(plain.AtEnd());
  RawHttpClient silent(harness.port());
  EXPECT_TRUE(silent.AtEnd());
}

TEST_F(GrpcTlsTest, TakesOtherCertificatesWhileItServes) {
  GrpcHarness harness(Options(/*asks_clients=*/false));
  const TestAuthority::Files other = stranger_.Sign("other");
  const auto use = [&](const TlsIdentity& identity) {
    return harness.OnLoop([&] { return harness.server().UseTls(identity); });
  };
  EXPECT_EQ(Ask(harness.port(), Trusting(authority_)), grpc::StatusCode::OK);
  EXPECT_THAT(use(Identity(other, /*asks_clients=*/false)), IsOk());
  EXPECT_EQ(Ask(harness.port(), Trusting(stranger_)), grpc::StatusCode::OK);
  EXPECT_THAT(use(Identity(server_, /*asks_clients=*/true)),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  TlsIdentity broken = Identity(other, /*asks_clients=*/false);
  broken.private_key = ReadFile(server_.key);
  EXPECT_THAT(use(broken), StatusIs(absl::StatusCode::kInvalidArgument));
  GrpcHarness plain;
  EXPECT_THAT(plain.OnLoop([&] { return plain.server().UseTls(broken); }),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(GrpcTlsTest, RefusesCertificatesThatAreNone) {
  GrpcOptions options = Options(/*asks_clients=*/false);
  options.tls->certificate_chain = "no certificate";
  boost::asio::io_context io(1);
  FakeQueryService service(io, 4);
  EXPECT_THAT(GrpcServer::Create(io, options, &service).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       StartsWith("certificate_chain: holds no certificate")));
}

}  // namespace
}  // namespace parm
