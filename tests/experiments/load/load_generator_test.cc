#include "experiments/load/load_generator.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "experiments/bench/null_server.h"
#include "experiments/load/http_client.h"
#include "experiments/load/process_usage.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/oip/metadata_json.h"
#include "tests/experiments/load/ten_images.h"
#include "tests/support/matchers.h"
#include "tests/support/raw_http_client.h"

namespace parm {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::Field;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::Optional;

constexpr Duration kPatience = Milliseconds(60'000);

std::unique_ptr<NullServer> Serve(
    std::function<NullAnswer(absl::Span<const std::byte>)> answer) {
  auto server = NullServer::Create({.input = {.name = "image",
                                              .datatype = DataType::kFp32,
                                              .shape = {-1, 4}},
                                    .answer = std::move(answer)});
  EXPECT_THAT(server, IsOk());
  return *std::move(server);
}

LoadOptions Options(const NullServer& server, double rate_qps) {
  return {.client = {.port = server.port(), .initial_connections = 2},
          .arrivals = {
              .rate_qps = rate_qps, .length = Milliseconds(500), .seed = 3}};
}

absl::StatusOr<LoadReport> RunAgainst(const LoadOptions& options,
                                      const std::vector<int>& reference = {},
                                      bool json = false) {
  const TestData data = TenImages();
  // Asked under no such haste as the queries may be.
  LoadClientOptions patient = options.client;
  patient.reply_timeout = kPatience;
  auto reply = HttpGet(patient, "/v2/models/fashion");
  EXPECT_THAT(reply, IsOk());
  auto metadata = oip::ParseModelMetadata(oip::BodyOf(std::move(reply->body)));
  EXPECT_THAT(metadata, IsOk());
  InferWire::Options wire_options = {
      .json = json, .host_header = "127.0.0.1", .model = "fashion"};
  for (const BatchShare& each : options.batches) {
    wire_options.batch_sizes.push_back(each.samples);
  }
  auto wire = InferWire::Create(wire_options, *metadata, data);
  EXPECT_THAT(wire, IsOk());
  return RunLoad(options, data, reference, &*wire);
}

int64_t NumTold(const LoadReport& report) {
  int64_t told = report.other_errors;
  for (const ErrorKind& kind : report.errors) told += kind.count;
  return told;
}

/// Closed at the end.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }

  int get() const { return fd_; }

 private:
  const int fd_;
};

/// A port of the loopback address. It refuses connections until told to listen;
/// then the test itself is the server.
class BoundPort {
 public:
  BoundPort() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, any, size), 0);
    EXPECT_EQ(getsockname(fd_, any, &size), 0);
    number_ = ntohs(address.sin_port);
  }
  BoundPort(const BoundPort&) = delete;
  BoundPort& operator=(const BoundPort&) = delete;
  ~BoundPort() { close(fd_); }

  uint16_t number() const { return number_; }

  void Listen() { EXPECT_EQ(listen(fd_, /*backlog=*/8), 0); }
  /// The next connection; -1 if none comes.
  int Accept() {
    pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, RawHttpClient::kWaitSeconds * 1'000) != 1) return -1;
    return accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  }

 private:
  const int fd_;
  uint16_t number_ = 0;
};

TEST(LoadGeneratorTest, EveryQueryOfTheScheduleIsAnswered) {
  std::atomic<int> num_requests = 0;
  const auto server = Serve([&](absl::Span<const std::byte> tensor) {
    ++num_requests;
    return NullAnswer{.predicted_class = static_cast<int>(FirstPixel(tensor))};
  });
  LoadOptions options = Options(*server, 1'000);
  PARM_ASSERT_OK_AND_ASSIGN(const LoadReport report, RunAgainst(options));
  auto schedule = ArrivalSchedule::Create(options.arrivals);
  int num_due = 0;
  while (schedule->Next().has_value()) ++num_due;

  const RunEntry entry = EntryOf(report);
  EXPECT_EQ(entry.queries, num_due);
  EXPECT_EQ(entry.answers.exact, num_due);
  EXPECT_EQ(num_requests, num_due);
  EXPECT_THAT(entry.accuracy.delivered, Optional(1.0));
  EXPECT_THAT(entry.latency_ms.max, Optional(Gt(0.0)));
  EXPECT_GE(*entry.latency_ms.max, *entry.send_lag_ms.max);
}

TEST(LoadGeneratorTest, AnswersAreCountedBySourceAndCorrectness) {
  // Odd images are reconstructed; of those only 1, 3 and 5 rightly.
  const auto server = Serve([](absl::Span<const std::byte> tensor) {
    const int label = static_cast<int>(FirstPixel(tensor));
    return NullAnswer{.source = label % 2 == 1 ? "reconstructed" : "exact",
                      .predicted_class = label > 6 ? 0 : label};
  });
  LoadOptions options = Options(*server, 1'000);
  options.arrivals.law = ArrivalLaw::kConstant;  // 500: each image 50 times
  const std::vector<int> reference = {0, 0, 0, 0, 0, 5, 6, 7, 8, 9};
  PARM_ASSERT_OK_AND_ASSIGN(const LoadReport report,
                            RunAgainst(options, reference));
  const RunEntry entry = EntryOf(report);
  EXPECT_EQ(entry.answers.exact, 250);
  EXPECT_EQ(entry.answers.reconstructed, 250);
  EXPECT_THAT(entry.accuracy.exact, Optional(0.8));
  EXPECT_THAT(entry.accuracy.reconstructed, Optional(0.6));
  EXPECT_THAT(entry.accuracy.delivered, Optional(0.7));
  EXPECT_THAT(entry.accuracy.deployed, Optional(0.6));
}

// Image i has label i, and row j of an answer names the first row's class + j.
TEST(LoadGeneratorTest, EachImageOfABatchIsJudged) {
  std::atomic<size_t> num_images = 0;
  const auto server = Serve([&](absl::Span<const std::byte> tensor) {
    num_images += tensor.size() / (4 * sizeof(float));
    const int label = static_cast<int>(FirstPixel(tensor));
    return NullAnswer{.predicted_class = label == 5 ? 0 : label};
  });
  LoadOptions options = Options(*server, 1'000);
  options.arrivals.law = ArrivalLaw::kConstant;  // 500: each first 50 times
  options.batches = {{.samples = 4, .share = 1}};
  options.clean_service = Microseconds(1);
  options.clean_extra_sample = Milliseconds(60'000);
  const std::vector<int> reference = {0, 1, 2, 3, 4, 5, 6, 7, 0, 0};
  PARM_ASSERT_OK_AND_ASSIGN(const LoadReport report,
                            RunAgainst(options, reference));
  const RunEntry entry = EntryOf(report);
  EXPECT_EQ(entry.queries, 500);
  EXPECT_EQ(num_images, 2'000U);
  EXPECT_EQ(entry.answers.exact, 500) << report.first_error();
  // All four are wrong where the first is 5.
  EXPECT_THAT(entry.accuracy.exact, Optional(0.9));
  EXPECT_THAT(entry.accuracy.deployed, Optional(0.8));
  // Four images take long, and no query takes twice as long.
  EXPECT_THAT(entry.tail_mass.over_2_service, Optional(0.0));
}

TEST(LoadGeneratorTest, JsonIsAnsweredLikeBinary) {
  const auto server = Serve([](absl::Span<const std::byte> tensor) {
    EXPECT_TRUE(tensor.empty()) << "not as JSON";
    return NullAnswer{.predicted_class = 3};
  });
  LoadOptions options = Options(*server, 400);
  options.arrivals.law = ArrivalLaw::kConstant;  // 200: each image 20 times
  PARM_ASSERT_OK_AND_ASSIGN(const LoadReport report,
                            RunAgainst(options, {}, /*json=*/true));
  const RunEntry entry = EntryOf(report);
  EXPECT_EQ(entry.answers.exact, 200) << report.first_error();
  EXPECT_THAT(entry.accuracy.exact, Optional(0.1));
}

TEST(BatchMixTest, DrawsSizesByTheirShares) {
  PARM_ASSERT_OK_AND_ASSIGN(const std::vector<BatchShare> shares,
                            ParseBatchShares("1:0.7,8:0.3"));
  BatchMix mix(shares, 3);
  BatchMix same(shares, 3);
  int num_large = 0;
  for (int i = 0; i < 10'000; ++i) {
    const size_t size = mix.Next();
    ASSERT_TRUE(size == 1 || size == 8);
    ASSERT_EQ(size, same.Next());
    num_large += size == 8 ? 1 : 0;
  }
  EXPECT_NEAR(num_large, 3'000, 200);
  EXPECT_EQ(BatchMix({}, 3).Next(), 1U);
}

TEST(BatchMixTest, OddSharesAreRefused) {
  for (const char* text : {"", "1", "1:1:1", "0:1", "x:1", "1:0", "1:-1",
                           "1025:1", "1:nan", "1:1,"}) {
    EXPECT_THAT(ParseBatchShares(text),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("want SAMPLES:SHARE")))
        << text;
  }
  EXPECT_THAT(ParseBatchShares("1:0.5,2:0.4"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("must add up to 1: got 0.9")));
}

TEST(LoadGeneratorTest, ErrorsSilenceAndHangUpsAreCounted) {
  const auto server = Serve(TroubledAnswer);
  LoadOptions options = Options(*server, 40);
  options.arrivals.law = ArrivalLaw::kConstant;  // 20: each image twice
  // Two silent queries wait for all of it; no other may come near it.
  options.client.reply_timeout = Milliseconds(5'000);
  PARM_ASSERT_OK_AND_ASSIGN(const LoadReport report, RunAgainst(options));
  const RunEntry entry = EntryOf(report);
  EXPECT_EQ(entry.queries, 20);
  EXPECT_EQ(entry.answers.exact, 12);
  EXPECT_EQ(entry.answers.error, 4);
  EXPECT_EQ(entry.answers.lost, 4);
  EXPECT_EQ(entry.shed, 2);
  EXPECT_THAT(report.errors,
              Contains(AllOf(
                  Field(&ErrorKind::message, "x-parm-source is none of ours"),
                  Field(&ErrorKind::count, 2))));
  EXPECT_EQ(NumTold(report), 8);
  // Worst, not missing: failures count as the deadline at least.
  EXPECT_GE(*entry.latency_ms.p90, 500.0);
}

TEST(LoadGeneratorTest, ErrorsBeyondAFewKindsAreCounted) {
  const auto server = Serve([](absl::Span<const std::byte> tensor) {
    return NullAnswer{.status = 510 + static_cast<int>(FirstPixel(tensor))};
  });
  LoadOptions options = Options(*server, 40);
  options.arrivals.law = ArrivalLaw::kConstant;  // 20: each image twice
  PARM_ASSERT_OK_AND_ASSIGN(const LoadReport report, RunAgainst(options));
  ASSERT_EQ(report.errors.size(), kMaxErrorKinds);
  EXPECT_THAT(report.errors, Each(Field(&ErrorKind::count, 2)));
  EXPECT_EQ(report.first_error(), report.errors[0].message);
  EXPECT_THAT(report.first_error(), HasSubstr("HTTP 51"));
  EXPECT_EQ(report.other_errors, 10);
}

TEST(LoadGeneratorTest, ConnectionsStayWithinTheirBound) {
  const auto server = Serve([](absl::Span<const std::byte>) {
    return NullAnswer{.kind = NullAnswer::Kind::kSilence};
  });
  LoadOptions options = Options(*server, 200);
  options.client.max_connections = 3;
  options.client.reply_timeout = Milliseconds(50);
  PARM_ASSERT_OK_AND_ASSIGN(const LoadReport report, RunAgainst(options));
  EXPECT_LE(report.largest_in_flight, 3);
  const RunEntry entry = EntryOf(report);
  EXPECT_GT(entry.queries, 0);
  EXPECT_EQ(entry.answers.lost, entry.queries);
  // Those that waited for a connection left late, and the run says so.
  EXPECT_THAT(entry.refused, Optional(HasSubstr("over 1 ms late")));
}

TEST(LoadGeneratorTest, WarmUpIsSentButNotCounted) {
  std::atomic<int> num_requests = 0;
  const auto server = Serve([&](absl::Span<const std::byte>) {
    ++num_requests;
    return NullAnswer{};
  });
  LoadOptions options = Options(*server, 400);
  options.arrivals.law = ArrivalLaw::kConstant;
  options.warm_up = Milliseconds(250);
  options.process_id = ::getpid();
  PARM_ASSERT_OK_AND_ASSIGN(const LoadReport report, RunAgainst(options));
  EXPECT_EQ(report.warm_up_queries, 100);
  EXPECT_EQ(EntryOf(report).queries, 100);
  EXPECT_EQ(num_requests, 200);
  EXPECT_THAT(report.cpu_us_per_query, Optional(Gt(0.0)));
  EXPECT_THAT(report.rss_mb, Optional(Gt(0.0)));
}

TEST(LoadGeneratorTest, ServerThatIsNotThereIsUnavailable) {
  // Bound by nobody who listens, and by nobody else meanwhile.
  const BoundPort bound;
  const uint16_t port = bound.number();
  EXPECT_THAT(HttpGet({.port = port}, "/v2"),
              StatusIs(absl::StatusCode::kUnavailable));
  const TestData data = TenImages();
  auto wire = InferWire::Create(
      {.model = "fashion"},
      {.inputs = {{.name = "x", .datatype = DataType::kUint8, .shape = {4}}}},
      data);
  ASSERT_THAT(wire, IsOk());
  LoadOptions options{.client = {.port = port},
                      .arrivals = {.rate_qps = 1, .length = Milliseconds(1)}};
  EXPECT_THAT(RunLoad(options, data, {}, &*wire),
              StatusIs(absl::StatusCode::kUnavailable));
}

/// Waits for replies.
class ReplyCounter : public HttpClient::Listener {
 public:
  void OnSent(HttpClient::Token, Time) override {}
  void OnReply(HttpClient::Token, Time, ServerReply) override { ++replies_; }
  void OnNoReply(HttpClient::Token, Time, const absl::Status& why) override {
    ADD_FAILURE() << why;
  }

  /// Drives the client until there are so many; false after a generous while.
  bool Await(int replies, HttpClient& client) {
    const Time give_up = Now() + kPatience;
    while (replies_ < replies) {
      if (Now() > give_up) return false;
      client.RunUntil(Now() + Milliseconds(10));
    }
    return true;
  }

 private:
  static Time Now() { return std::chrono::steady_clock::now(); }

  int replies_ = 0;
};

TEST(HttpClientTest, ConnectionAnsweredEarlyIsNotReused) {
  BoundPort port;
  port.Listen();
  ReplyCounter replies;
  PARM_ASSERT_OK_AND_ASSIGN(const auto client,
                            HttpClient::Create({.port = port.number(),
                                                .initial_connections = 1,
                                                .reply_timeout = kPatience},
                                               &replies));
  ASSERT_TRUE(client->Connect(std::chrono::steady_clock::now() + kPatience));
  const FileDescriptor first(port.Accept());
  ASSERT_GE(first.get(), 0);
  // More than two sockets hold, of which the server reads nothing.
  const std::string head =
      "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 33554432\r\n\r\n";
  const std::string body(33'554'432, 'x');
  ASSERT_TRUE(client->Send(1, head, body));
  const std::string reply = "HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n";
  ASSERT_EQ(send(first.get(), reply.data(), reply.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(reply.size()));
  ASSERT_TRUE(replies.Await(1, *client));

  ASSERT_TRUE(client->Send(2, "GET / HTTP/1.1\r\nHost: t\r\n\r\n", ""));
  const FileDescriptor second(port.Accept());
  ASSERT_GE(second.get(), 0) << "sent into the middle of the first request";
  ASSERT_EQ(send(second.get(), reply.data(), reply.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(reply.size()));
  EXPECT_TRUE(replies.Await(2, *client));
}

/// As many descriptors as there are, and `more`, while it lives.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(rlim_t more) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const FileDescriptor next(dup(STDERR_FILENO));
    const rlimit limit{.rlim_cur = static_cast<rlim_t>(next.get()) + more,
                       .rlim_max = before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;
  ~DescriptorLimit() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST(NullServerTest, TakesConnectionsAgainAfterAnError) {
  const auto server = Serve(nullptr);
  const std::string live = "GET /v2/health/live HTTP/1.1\r\nHost: t\r\n\r\n";
  RawHttpClient before(server->port());
  EXPECT_EQ(before.Ask(live).status, 200);
  std::unique_ptr<RawHttpClient> refused;
  {
    // Enough for the client's end of a connection.
    const DescriptorLimit limit(1);
    refused = std::make_unique<RawHttpClient>(server->port());
    ASSERT_TRUE(refused->connected());
    // Events come in order: then it has tried to take the other, too.
    EXPECT_EQ(before.Ask(live).status, 200);
  }
  EXPECT_EQ(refused->Ask(live).status, 200);
}

TEST(ProcessUsageTest, CountsThreadsThatHaveEnded) {
  constexpr Duration kBurnt = Milliseconds(50);
  PARM_ASSERT_OK_AND_ASSIGN(const ProcessUsage before,
                            ReadProcessUsage(::getpid()));
  std::thread([&] {
    timespec used{};
    while (std::chrono::seconds(used.tv_sec) +
               std::chrono::nanoseconds(used.tv_nsec) <
           kBurnt) {
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    }
  }).join();
  PARM_ASSERT_OK_AND_ASSIGN(const ProcessUsage after,
                            ReadProcessUsage(::getpid()));
  EXPECT_GE(after.cpu - before.cpu, kBurnt);
  EXPECT_GT(after.resident_bytes, 0);
}

TEST(ProcessUsageTest, ProcessThatIsNotThereIsNotFound) {
  // Beyond the largest number that Linux gives.
  for (const int64_t process_id : {int64_t{1} << 30, int64_t{1} << 40}) {
    EXPECT_THAT(ReadProcessUsage(process_id),
                StatusIs(absl::StatusCode::kNotFound));
  }
}

TEST(LoadGeneratorTest, RefusesOptionsThatMakeNoSense) {
  const TestData data = TenImages();
  auto wire = InferWire::Create(
      {.model = "fashion"},
      {.inputs = {{.name = "x", .datatype = DataType::kUint8, .shape = {4}}}},
      data);
  ASSERT_THAT(wire, IsOk());
  LoadOptions options{.arrivals = {.rate_qps = 1, .length = Milliseconds(1)},
                      .warm_up = Milliseconds(1)};
  EXPECT_THAT(RunLoad(options, data, {}, &*wire),
              StatusIs(absl::StatusCode::kInvalidArgument));
  options.warm_up = Duration{0};
  EXPECT_THAT(RunLoad(options, data, {1, 2}, &*wire),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("another data set")));
}

}  // namespace
}  // namespace parm
