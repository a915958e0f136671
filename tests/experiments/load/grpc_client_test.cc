#include "experiments/load/grpc_client.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/status_macros.h"
#include "experiments/bench/null_grpc_server.h"
#include "experiments/load/load_generator.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/experiments/load/ten_images.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;

using Answer = std::function<NullAnswer(absl::Span<const std::byte>)>;

std::unique_ptr<NullGrpcServer> Serve(Answer answer,
                                      std::string model = "fashion") {
  auto server = NullGrpcServer::Create({.model = std::move(model),
                                        .input = {.name = "image",
                                                  .datatype = DataType::kFp32,
                                                  .shape = {-1, 4}},
                                        .answer = std::move(answer)});
  EXPECT_THAT(server, IsOk());
  return *std::move(server);
}

LoadClientOptions ClientOf(uint16_t port) {
  return {
      .protocol = LoadProtocol::kGrpc, .port = port, .initial_connections = 2};
}

LoadOptions Options(const NullGrpcServer& server, double rate_qps) {
  return {.client = ClientOf(server.port()),
          .arrivals = {
              .rate_qps = rate_qps, .length = Milliseconds(500), .seed = 3}};
}

absl::StatusOr<RunEntry> RunAgainst(const LoadOptions& options,
                                    std::string* first_error = nullptr) {
  const TestData data = TenImages();
  PARM_ASSIGN_OR_RETURN(const oip::ModelMetadata metadata,
                        GrpcModelMetadata(options.client, "fashion"));
  PARM_ASSIGN_OR_RETURN(
      InferWire wire,
      InferWire::Create({.protocol = LoadProtocol::kGrpc, .model = "fashion"},
                        metadata, data));
  PARM_ASSIGN_OR_RETURN(const LoadReport report,
                        RunLoad(options, data, {}, &wire));
  if (first_error != nullptr) *first_error = report.first_error();
  return EntryOf(report);
}

TEST(GrpcClientTest, EveryQueryOfTheScheduleIsAnswered) {
  std::atomic<int> num_calls = 0;
  const auto server = Serve([&](absl::Span<const std::byte> tensor) {
    ++num_calls;
    const int label = static_cast<int>(FirstPixel(tensor));
    return NullAnswer{.source = label % 2 == 1 ? "reconstructed" : "exact",
                      .predicted_class = label};
  });
  LoadOptions options = Options(*server, 400);
  options.arrivals.law = ArrivalLaw::kConstant;  // 200: each image 20 times
  PARM_ASSERT_OK_AND_ASSIGN(const RunEntry entry, RunAgainst(options));
  EXPECT_EQ(entry.queries, 200);
  EXPECT_EQ(num_calls, 200);
  EXPECT_EQ(entry.answers.exact, 100);
  EXPECT_EQ(entry.answers.reconstructed, 100);
  EXPECT_THAT(entry.accuracy.delivered, Optional(1.0));
  // A reply comes after its call was sent, however late it is handled.
  EXPECT_GE(*entry.latency_ms.max, *entry.send_lag_ms.max);
}

TEST(GrpcClientTest, ErrorsAndSilenceAreCounted) {
  const auto server = Serve(TroubledAnswer);
  LoadOptions options = Options(*server, 40);
  options.arrivals.law = ArrivalLaw::kConstant;  // 20: each image twice
  // Two silent queries wait for all of it; no other may come near it.
  options.client.reply_timeout = Milliseconds(5'000);
  std::string first_error;
  PARM_ASSERT_OK_AND_ASSIGN(const RunEntry entry,
                            RunAgainst(options, &first_error));
  EXPECT_EQ(entry.queries, 20);
  EXPECT_EQ(entry.answers.exact, 12);
  EXPECT_EQ(entry.answers.error, 6);
  EXPECT_EQ(entry.answers.lost, 2);
  EXPECT_EQ(entry.shed, 2);
  EXPECT_FALSE(first_error.empty());
}

TEST(GrpcClientTest, CallsStayWithinTheirBound) {
  const auto server = Serve([](absl::Span<const std::byte>) {
    return NullAnswer{.kind = NullAnswer::Kind::kSilence};
  });
  LoadOptions options = Options(*server, 200);
  options.client.max_connections = 3;
  options.client.reply_timeout = Milliseconds(200);
  // Asked under no such haste.
  LoadClientOptions patient = options.client;
  patient.reply_timeout = Milliseconds(60'000);
  PARM_ASSERT_OK_AND_ASSIGN(const oip::ModelMetadata metadata,
                            GrpcModelMetadata(patient, "fashion"));
  const TestData data = TenImages();
  PARM_ASSERT_OK_AND_ASSIGN(
      InferWire wire,
      InferWire::Create({.protocol = LoadProtocol::kGrpc, .model = "fashion"},
                        metadata, data));
  PARM_ASSERT_OK_AND_ASSIGN(const LoadReport report,
                            RunLoad(options, data, {}, &wire));
  EXPECT_LE(report.largest_in_flight, 3);
  const RunEntry entry = EntryOf(report);
  EXPECT_GT(entry.queries, 0);
  EXPECT_EQ(entry.answers.lost, entry.queries);
  EXPECT_THAT(entry.refused, Optional(HasSubstr("over 1 ms late")));
}

TEST(GrpcClientTest, EndsWithCallsUnderWay) {
  struct : LoadClient::Listener {
    void OnSent(LoadClient::Token, Time) override {}
    void OnReply(LoadClient::Token, Time, ServerReply) override { ++ends; }
    void OnNoReply(LoadClient::Token, Time, const absl::Status&) override {
      ++ends;
    }
    int ends = 0;
  } listener;
  const auto server = Serve([](absl::Span<const std::byte>) {
    return NullAnswer{.kind = NullAnswer::Kind::kSilence};
  });
  PARM_ASSERT_OK_AND_ASSIGN(
      auto client, GrpcClient::Create(ClientOf(server->port()), &listener));
  EXPECT_TRUE(client->Send(1, "", ""));
  EXPECT_EQ(client->num_in_flight(), 1);
  client.reset();
  EXPECT_EQ(listener.ends, 0);
}

TEST(GrpcClientTest, ServerThatIsNotThereIsUnavailable) {
  // A port that nobody listens on without being asked to.
  LoadClientOptions options = ClientOf(1);
  options.reply_timeout = Milliseconds(60'000);
  EXPECT_THAT(GrpcModelMetadata(options, "fashion"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("gRPC ")));
}

TEST(NullGrpcServerTest, PortThatIsInUseIsUnavailable) {
  const auto server = Serve(nullptr);
  EXPECT_THAT(NullGrpcServer::Create({.port = server->port()}),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST(GrpcClientTest, HostThatIsNoAddressIsRefused) {
  LoadClientOptions options = ClientOf(1);
  options.host = "localhost";
  EXPECT_THAT(GrpcClient::Create(options, nullptr),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("want an IPv4 or IPv6 address")));
  EXPECT_THAT(GrpcModelMetadata(options, "m"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(GrpcClientTest, MetadataOfAModelIsRead) {
  const auto server = Serve(nullptr);
  PARM_ASSERT_OK_AND_ASSIGN(
      const oip::ModelMetadata metadata,
      GrpcModelMetadata(ClientOf(server->port()), "fashion"));
  ASSERT_EQ(metadata.inputs.size(), 1U);
  EXPECT_EQ(metadata.inputs[0].name, "image");
  EXPECT_THAT(metadata.inputs[0].shape, ElementsAre(-1, 4));
  // A name beyond the limits of a reply.
  const auto odd = Serve(nullptr, std::string(5'000, 'm'));
  EXPECT_THAT(GrpcModelMetadata(ClientOf(odd->port()), "fashion"),
              StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace parm
