// Section `workers`: servers of others beside workers of ours.

#include "frontend/workers_config.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "frontend/frontend_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(WorkersConfigTest, NumbersModelServersAfterWorkers) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const FrontendOptions options,
      ParseFrontendConfig(
          "workers:\n"
          "  - {endpoint: \"http://10.0.0.9:8000/b\", server: mlserver,\n"
          "     lanes: 2,\n"
          "     fault_domain: rack, max_in_flight: 3, serves: [{name: b,\n"
          "     model: theirs, version: \"7\", bundle: bundles/b}]}\n"
          "  - {endpoint: \"tcp://h:1\"}\n"
          "  - {endpoint: \"http://10.0.0.9\"}\n"
          "models: [{name: a}, {name: b}]\n"
          "health: {heartbeat_timeout: 1s}\n"
          "limits: {feedback_horizon: 3s}\n",
          "/etc/f.yaml"));
  EXPECT_EQ(options.core.num_workers, 3U);
  ASSERT_EQ(options.upstream.workers.size(), 1U);
  EXPECT_EQ(options.oip.first_worker, 1U);
  EXPECT_THAT(options.catalog.fault_domains, ElementsAre("", "rack", ""));
  EXPECT_THAT(options.catalog.max_in_flight, ElementsAre(16, 3, 16));
  EXPECT_EQ(options.oip.heartbeat_interval, Milliseconds(200));
  EXPECT_EQ(options.oip.keep_late, Milliseconds(3000));
  ASSERT_EQ(options.oip.servers.size(), 2U);
  const OipServerOptions& full = options.oip.servers[0];
  EXPECT_EQ(full.url.port, 8000);
  EXPECT_EQ(full.url.base, "/b");
  EXPECT_EQ(full.kind, ServerKind::kMlserver);
  EXPECT_EQ(full.lanes, 2U);
  EXPECT_EQ(full.max_in_flight, 3U);
  ASSERT_EQ(full.serves.size(), 1U);
  EXPECT_EQ(full.serves[0].name, "b");
  EXPECT_EQ(full.serves[0].server_name, "theirs");
  EXPECT_EQ(full.serves[0].version, "7");
  EXPECT_EQ(full.serves[0].bundle, "/etc/bundles/b");
  // All models of the file, under their own names.
  const OipServerOptions& plain = options.oip.servers[1];
  EXPECT_EQ(plain.kind, ServerKind::kAuto);
  ASSERT_EQ(plain.serves.size(), 2U);
  EXPECT_EQ(plain.serves[1].server_name, "b");
  EXPECT_EQ(plain.serves[1].bundle, "");
}

TEST(WorkersConfigTest, TakesModelServersOverGrpc) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const FrontendOptions options,
      ParseFrontendConfig("workers:\n"
                          "  - {endpoint: \"grpc://[::1]:8001\"}\n"
                          "  - {endpoint: \"grpc://h:1\", protocol: grpc,\n"
                          "     server: triton}\n"
                          "models: [{name: a}]\n",
                          "f.yaml"));
  ASSERT_EQ(options.oip.servers.size(), 2U);
  EXPECT_EQ(options.oip.servers[0].url.protocol, ServerProtocol::kGrpc);
  EXPECT_EQ(options.oip.servers[0].url.host, "::1");
  EXPECT_EQ(options.oip.servers[0].url.port, 8001);
  EXPECT_EQ(options.oip.servers[1].kind, ServerKind::kTriton);
}

TEST(WorkersConfigTest, KeepsPlacesForServersThatComeAndGo) {
  const ScratchDirectory directory;
  WriteFile(directory / "servers.txt", "http://10.0.0.1\nhttp://b\n");
  PARM_ASSERT_OK_AND_ASSIGN(
      const FrontendOptions options,
      ParseFrontendConfig(
          "workers:\n"
          "  - {endpoint: \"http://name:8000\", max_servers: 3,\n"
          "     fault_domain: rack}\n"
          "  - {endpoint: \"tcp://h:1\"}\n"
          "  - {endpoints_file: servers.txt, max_servers: 2, protocol: http,\n"
          "     max_in_flight: 5}\n"
          "  - {endpoint: \"http://[::1]:8000\"}\n"
          "  - {endpoint: \"http://other:8000\"}\n"
          "models: [{name: a}]\n"
          "health: {resolve_interval: 7s, bundle_check_interval: 0s,\n"
          "         timeout: 60s}\n",
          directory / "f.yaml"));
  EXPECT_EQ(options.oip.resolve_interval, Milliseconds(7000));
  EXPECT_EQ(options.oip.bundle_check_interval, Duration{0});
  EXPECT_EQ(options.oip.check_timeout, Milliseconds(60'000));
  ASSERT_EQ(options.oip.servers.size(), 4U);
  const OipServerOptions& of_file = options.oip.servers[1];
  EXPECT_EQ(of_file.endpoints_file, directory / "servers.txt");
  EXPECT_EQ(of_file.protocol, ServerProtocol::kHttp);
  EXPECT_EQ(of_file.max_servers, 2U);
  EXPECT_EQ(options.oip.servers[3].max_servers, 64U);
  // Twice as many as may be there at once, for those on their way out.
  EXPECT_EQ(options.core.num_workers, 1 + 6 + 4 + 1 + 128U);
  ASSERT_EQ(options.catalog.fault_domains.size(), 140U);
  EXPECT_EQ(options.catalog.fault_domains[0], "");
  EXPECT_EQ(options.catalog.fault_domains[6], "rack");
  EXPECT_EQ(options.catalog.fault_domains[7], "");
  EXPECT_EQ(options.catalog.max_in_flight[7], 5U);
  EXPECT_EQ(options.catalog.max_in_flight[11], 16U);
  const std::vector<std::string> endpoints = EndpointsOf(options);
  ASSERT_EQ(endpoints.size(), 140U);
  EXPECT_EQ(endpoints[0], "tcp://h:1");
  EXPECT_EQ(endpoints[1], "http://name:8000");
  EXPECT_EQ(endpoints[2], "");
  EXPECT_EQ(endpoints[7], "") << "its lines join when it starts";
  EXPECT_EQ(endpoints[11], "http://[::1]:8000");
  EXPECT_EQ(endpoints[12], "http://other:8000");
}

TEST(WorkersConfigTest, RefusesFilesOfEndpointsThatMakeNoSense) {
  const ScratchDirectory directory;
  WriteFile(directory / "good.txt", "\nhttp://10.0.0.1\n");
  WriteFile(directory / "bad.txt", "# none\nnone\n");
  for (const auto& [workers, text] :
       {std::pair{"{endpoints_file: missing.txt}", "missing.txt"},
        {"{endpoints_file: bad.txt}", "bad.txt:2: got \"none\""},
        {"{endpoints_file: good.txt, protocol: grpc}",
         "good.txt:2: protocol differs"},
        {"{endpoints_file: good.txt}, {endpoint: \"http://10.0.0.1\"}",
         "good.txt:2: endpoint given twice"},
        {"{endpoints_file: good.txt, endpoint: \"http://10.0.0.2\"}",
         "f.yaml:1: endpoint and endpoints_file are both given"},
        {"{endpoints_file: good.txt, server_key: k}",
         "server_key is for parm-workers"},
        {"{endpoints_file: good.txt, endpoint_files: x}", "endpoint_files"},
        {"{max_servers: 3}", "endpoint: got \"\""},
        {"{endpoint: \"tcp://h:1\", max_servers: 3}",
         "max_servers is for http:// and grpc://"},
        {"{endpoint: \"http://10.0.0.2\", max_servers: 3}",
         "an address is one server"},
        {"{endpoint: \"http://h\", max_servers: 1025}", "max_servers"}}) {
    SCOPED_TRACE(workers);
    const absl::Status status =
        ParseFrontendConfig(
            absl::StrCat("workers: [", workers, "]\nmodels: [{name: a}]\n"),
            directory / "f.yaml")
            .status();
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(status.message(), HasSubstr(text));
  }
}

TEST(WorkersConfigTest, RefusesServersThatMakeNoSense) {
  for (const auto& [worker, text] :
       {std::pair{"endpoint: \"http://h:0\"", "f.yaml:1: endpoint: got"},
        {"endpoint: \"http://h\", server: tfserving", "tfserving"},
        {"endpoint: \"http://h\", serves: [{name: b}]", "not in this file: b"},
        {"endpoint: \"tcp://h:1\", server: triton",
         "for http:// and grpc:// endpoints"},
        {"endpoint: \"tcp://h:1\", lanes: 2",
         "for http:// and grpc:// endpoints"},
        {"endpoint: \"tcp://h:1\", serves: [{name: a}]",
         "for http:// and grpc:// endpoints"},
        {"endpoint: \"tcp://h:1\", protocol: grpc",
         "for http:// and grpc:// endpoints"},
        {"endpoint: \"grpc://h\"", "want http://HOST[:PORT][/BASE] or grpc"},
        {"endpoint: \"grpc://h:1/base\"", "f.yaml:1: endpoint: got"},
        {"endpoint: \"grpc://h:1\", protocol: http", "the endpoint says grpc"},
        {"endpoint: \"http://h:1\", protocol: grpc", "the endpoint says http"},
        {"endpoint: \"http://h:1\", protocol: zmq", "zmq"}}) {
    SCOPED_TRACE(worker);
    EXPECT_THAT(ParseFrontendConfig(absl::StrCat("workers: [{", worker,
                                                 "}]\nmodels: [{name: a}]\n"),
                                    "f.yaml"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  }
}

}  // namespace
}  // namespace parm
