// A real frontend with certificates on both ports: the unmodified tritonclient
// (tritonclient_tls_test.py says what it asks), and new certificates while it
// serves.

#include <signal.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"
#include "tests/support/matchers.h"
#include "tests/support/raw_tls_client.h"
#include "tests/support/test_certificates.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using Serves = Cluster::Serves;

constexpr char kModel[] = "    deadline: 50s\n";
constexpr char kPort[] =
    "tls: {certificate_chain: server.pem, private_key: server.key, "
    "client_ca: authority.pem}";

class FrontendTlsTest : public ::testing::Test {
 protected:
  static std::string PortOf(uint16_t port) {
    return absl::StrCat("localhost:", port);
  }
  const std::string& folder() const { return cluster_.directory().path(); }
  TlsClientOptions Client() const {
    return {.server_ca = authority_.certificate(),
            .certificate = good_.certificate,
            .key = good_.key};
  }
  /// Ready is what /metrics says: the port itself speaks TLS.
  static bool WaitUntilReady(const ClusterFrontend& frontend) {
    return Cluster::WaitForMetric(frontend, "parm_ready", 1);
  }

  Cluster cluster_;
  const TestAuthority authority_{folder(), "authority"};
  const TestAuthority::Files server_ = authority_.Sign("server");
  const TestAuthority::Files good_ = authority_.Sign("good");
  const TestAuthority::Files bad_ =
      TestAuthority(folder(), "stranger").Sign("bad");
};

TEST_F(FrontendTlsTest, ServesAnUnmodifiedClient) {
  const char* const python = std::getenv("PARM_PYTHON");
  const char* const source = std::getenv("PARM_SOURCE");
  ASSERT_TRUE(python != nullptr && source != nullptr) << "run it with ctest";
  cluster_.AddWorker(Serves::kDeployed);
  cluster_.StartWorkers();
  const ClusterFrontend frontend = cluster_.StartFrontend(
      kModel, absl::StrCat("http: {", kPort, "}\ngrpc: {", kPort, "}\n"),
      /*with_grpc=*/true);
  ASSERT_TRUE(WaitUntilReady(frontend));
  PARM_ASSERT_OK_AND_ASSIGN(
      const std::unique_ptr<Process> client,
      Process::Start(
          {python, std::string(source) + "/tests/e2e/tritonclient_tls_test.py",
           "--http", PortOf(frontend.http_port), "--grpc",
           PortOf(frontend.grpc_port), "--model", "linear", "--directory",
           folder()},
          cluster_.directory() / "client.log"));
  EXPECT_THAT(client->Wait(), IsOkAndHolds(0)) << client->Log();
  const std::string metrics = Cluster::Metrics(frontend);
  EXPECT_EQ(MetricValue(metrics,
                        "parm_http_handshakes_total{outcome="
                        "\"done\"}"),
            2);
  // One that was kept waiting may try again.
  EXPECT_GE(MetricValue(metrics,
                        "parm_http_handshakes_total{outcome="
                        "\"unauthorized\"}"),
            2);
  EXPECT_GT(
      MetricValue(metrics, "parm_tls_certificate_end_seconds{port=\"grpc\"}"),
      1e9);
}

TEST_F(FrontendTlsTest, TakesNewCertificatesOnHangup) {
  cluster_.AddWorker(Serves::kDeployed);
  cluster_.StartWorkers();
  const ClusterFrontend frontend =
      cluster_.StartFrontend(kModel, absl::StrCat("http: {", kPort, "}\n"));
  ASSERT_TRUE(WaitUntilReady(frontend));
  RawTlsClient before(frontend.http_port, Client());
  EXPECT_EQ(before.ServerName(), "server");
  const std::string live = "GET /v2/health/live HTTP/1.1\r\nHost: t\r\n\r\n";
  EXPECT_EQ(before.Ask(live).status, 200);

  // A file that is half written changes nothing.
  const TestAuthority::Files renewed = authority_.Sign("renewed");
  WriteFile(server_.key, ReadFile(renewed.key));
  frontend.process->Signal(SIGHUP);
  ASSERT_TRUE(Cluster::WaitForMetric(
      frontend, "parm_config_reloads_total{outcome=\"refused\"}", 1));
  EXPECT_THAT(frontend.process->Log(),
              HasSubstr("private_key: does not belong"));
  RawTlsClient meanwhile(frontend.http_port, Client());
  EXPECT_EQ(meanwhile.ServerName(), "server");

  WriteFile(server_.certificate, ReadFile(renewed.certificate));
  frontend.process->Signal(SIGHUP);
  ASSERT_TRUE(Cluster::WaitForMetric(
      frontend, "parm_config_reloads_total{outcome=\"applied\"}", 1));
  RawTlsClient after(frontend.http_port, Client());
  EXPECT_EQ(after.ServerName(), "renewed");
  EXPECT_EQ(after.Ask(live).status, 200);
  EXPECT_EQ(before.Ask(live).status, 200);
}

}  // namespace
}  // namespace parm
