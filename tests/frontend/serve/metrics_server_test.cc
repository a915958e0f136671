#include "frontend/serve/metrics_server.h"

#include <boost/asio/io_context.hpp>
#include <memory>
#include <thread>

#include "gtest/gtest.h"
#include "tests/frontend/serve/server_harness.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

class MetricsServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = MetricsServer::Create(io_, "127.0.0.1", 0, &service_);
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
    thread_ = std::thread([this] { io_.run(); });
  }
  void TearDown() override {
    io_.stop();
    thread_.join();
  }

  boost::asio::io_context io_;
  FakeQueryService service_{io_, 4};
  std::unique_ptr<MetricsServer> server_;
  std::thread thread_;
};

TEST_F(MetricsServerTest, ServesTheTextOfTheService) {
  RawHttpClient client(server_->port());
  for (int i = 0; i < 2; ++i) {
    const RawReply reply = client.Ask(Request("GET", "/metrics"));
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, "parm_queries_total 1\n");
    EXPECT_EQ(reply.headers.at("content-type"),
              "text/plain; version=0.0.4; charset=utf-8");
  }
}

TEST_F(MetricsServerTest, ServesAPageForPeople) {
  RawHttpClient client(server_->port());
  for (const char* target : {"/", "/?since=start"}) {
    const RawReply reply = client.Ask(Request("GET", target));
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.headers.at("content-type"), "text/html; charset=utf-8");
    EXPECT_EQ(reply.body.substr(0, 15), "<!DOCTYPE html>");
  }
}

TEST_F(MetricsServerTest, ServesNothingElse) {
  RawHttpClient client(server_->port());
  EXPECT_EQ(client.Ask(Request("GET", "/other")).status, 404);
  EXPECT_EQ(client.Ask(InferRequestText()).status, 404);
  EXPECT_EQ(client.Ask(Request("PUT", "/metrics")).status, 405);
  EXPECT_EQ(client.Ask(Request("POST", "/", "", std::string(2000, 'a'))).status,
            413);
}

TEST_F(MetricsServerTest, SaysThatAPortIsInUse) {
  boost::asio::io_context io;
  EXPECT_THAT(
      MetricsServer::Create(io, "127.0.0.1", server_->port(), &service_),
      StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace parm
