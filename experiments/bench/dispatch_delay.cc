// parm-dispatch-delay: plays the client and the workers of one frontend in one
// process, and so on one clock: how long from a client's send until a worker
// holds the query? Answers go back at once, so nothing queues; what is left is
// the frontend's path to dispatch, with sockets.
//
// Prints "parm-dispatch-delay ready zmq=E1,E2", reads the frontend's HTTP
// address from stdin, runs, and prints one JSON line.

#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/json_writer.h"
#include "base/latency_histogram.h"
#include "base/status_macros.h"
#include "experiments/load/arrival_schedule.h"
#include "experiments/load/http_client.h"
#include "experiments/load/infer_wire.h"
#include "proto/bundle.h"
#include "proto/oip/metadata_json.h"
#include "proto/wire_codec.h"
#include "zmq.hpp"

namespace parm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kNumDigits = 3;  // of a query's number, base 256, in its pixels
constexpr int kPollMs = 50;
constexpr Duration kDrain = Milliseconds(1'000);

/// When each query came to a worker, by its number.
using Stamps = std::vector<std::atomic<int64_t>>;

/// A worker without a model: notes when a query came, answers zeros.
class StampWorker {
 public:
  StampWorker(int index, std::vector<wire::BundleInfo> bundles, Stamps* stamps)
      : index_(index), bundles_(std::move(bundles)), stamps_(stamps) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::rcvtimeo, kPollMs);
    socket_.bind("tcp://127.0.0.1:*");
    endpoint_ = socket_.get(zmq::sockopt::last_endpoint);
    thread_ = std::thread([this] { Serve(); });
  }
  ~StampWorker() {
    stop_ = true;
    thread_.join();
  }

  const std::string& endpoint() const { return endpoint_; }

 private:
  void Serve() {
    Time next_heartbeat = Clock::now();
    std::string peer;
    while (!stop_) {
      std::vector<zmq::message_t> frames;
      zmq::message_t frame;
      while (socket_.recv(frame).has_value()) {
        const bool more = frame.more();
        frames.push_back(std::move(frame));
        if (!more) break;
      }
      const Time now = Clock::now();
      if (frames.size() >= 2) {
        peer = frames[0].to_string();
        Answer(peer, frames, now);
      }
      if (!peer.empty() && now >= next_heartbeat) {
        next_heartbeat = now + Milliseconds(kPollMs);
        wire::Envelope beat;
        beat.mutable_heartbeat()->set_instance_nonce(Nonce());
        Send(peer, beat, nullptr);
      }
    }
  }

  void Answer(const std::string& peer,
              const std::vector<zmq::message_t>& frames, Time now) {
    const auto envelope = wire::ParseEnvelope(absl::MakeConstSpan(
        static_cast<const std::byte*>(frames[1].data()), frames[1].size()));
    if (!envelope.ok()) return;
    wire::Envelope reply;
    if (envelope->has_hello_request()) {
      wire::Hello& hello = *reply.mutable_hello();
      hello.set_worker_id(absl::StrCat("stamp", index_));
      hello.set_fault_domain(hello.worker_id());
      hello.set_instance_nonce(Nonce());
      hello.set_lanes(1);
      for (const wire::BundleInfo& bundle : bundles_) {
        *hello.add_bundles() = bundle;
      }
      Send(peer, reply, nullptr);
      return;
    }
    if (!envelope->has_infer() || frames.size() < 3) return;
    for (const wire::BundleInfo& bundle : bundles_) {
      if (bundle.sha256() != envelope->infer().bundle_sha256()) continue;
      if (bundle.role() == wire::DEPLOYED) Stamp(frames[2], now);
      wire::Reply& done = *reply.mutable_reply();
      done.set_task_id(envelope->infer().task_id());
      done.set_instance_nonce(Nonce());
      done.set_status(wire::OK);
      done.set_started(true);
      *done.add_tensors() = bundle.outputs(0);
      done.mutable_tensors(0)->set_shape(0, 1);
      const TensorSpec spec = wire::FromWire(done.tensors(0));
      const std::string zeros(
          static_cast<size_t>(NumBytes(spec.datatype, spec.shape).value()),
          '\0');
      Send(peer, reply, &zeros);
    }
  }

  void Stamp(const zmq::message_t& tensor, Time now) {
    float digits[kNumDigits];
    if (tensor.size() < sizeof(digits)) return;
    std::memcpy(digits, tensor.data(), sizeof(digits));
    size_t number = 0;
    for (const float digit : digits) {
      number = number * 256 + static_cast<size_t>(std::lround(digit));
    }
    if (number < stamps_->size()) {
      (*stamps_)[number] = now.time_since_epoch().count();
    }
  }

  void Send(const std::string& peer, const wire::Envelope& envelope,
            const std::string* tensor) {
    socket_.send(zmq::buffer(peer), zmq::send_flags::sndmore);
    const std::string frame = wire::SerializeEnvelope(envelope);
    socket_.send(zmq::buffer(frame), tensor == nullptr
                                         ? zmq::send_flags::none
                                         : zmq::send_flags::sndmore);
    if (tensor != nullptr) {
      socket_.send(zmq::buffer(*tensor), zmq::send_flags::none);
    }
  }

  uint64_t Nonce() const { return static_cast<uint64_t>(index_) + 1; }

  const int index_;
  const std::vector<wire::BundleInfo> bundles_;
  Stamps* const stamps_;
  zmq::context_t context_;
  zmq::socket_t socket_{context_, zmq::socket_type::router};
  std::string endpoint_;
  std::atomic<bool> stop_ = false;  // set by main, read by the thread
  std::thread thread_;
};

/// Sends every query once and notes when.
class Client : public HttpClient::Listener {
 public:
  explicit Client(size_t num_queries) : sent_(num_queries) {}

  void OnSent(HttpClient::Token, Time) override {}
  void OnReply(HttpClient::Token, Time, ServerReply reply) override {
    if (reply.error.empty()) ++num_answered_;
  }
  void OnNoReply(HttpClient::Token, Time, const absl::Status&) override {}

  absl::Status Run(const LoadClientOptions& options, double rate,
                   const InferWire& wire) {
    PARM_ASSIGN_OR_RETURN(const auto client, HttpClient::Create(options, this));
    PARM_ASSIGN_OR_RETURN(
        ArrivalSchedule schedule,
        ArrivalSchedule::Create(
            {.rate_qps = rate, .length = std::chrono::hours(1)}));
    const Time deadline = Clock::now() + kDrain;
    if (!client->Connect(deadline)) {
      return absl::UnavailableError("frontend takes no connection");
    }
    const Time start = Clock::now();
    for (size_t i = 0; i < sent_.size(); ++i) {
      const Time due = start + *schedule.Next();
      while (Clock::now() < due) client->RunUntil(due);
      sent_[i] = Clock::now();
      if (!client->Send(i, wire.head(), wire.body(i))) {
        return absl::ResourceExhaustedError("connections are used up");
      }
    }
    const Time end = Clock::now() + kDrain;
    while (client->num_in_flight() > 0 && Clock::now() < end) {
      client->RunUntil(end);
    }
    return absl::OkStatus();
  }

  const std::vector<Time>& sent() const { return sent_; }
  size_t num_answered() const { return num_answered_; }

 private:
  std::vector<Time> sent_;
  size_t num_answered_ = 0;
};

/// One image per query; its first pixels are the query's number.
TestData NumberedImages(size_t num_queries, int64_t side) {
  TestData data{.num_samples = static_cast<int64_t>(num_queries),
                .height = side,
                .width = side,
                .pixels = {},
                .labels = std::vector<uint8_t>(num_queries)};
  const auto size = static_cast<size_t>(side * side);
  data.pixels.assign(num_queries * size, 0);
  for (size_t i = 0; i < num_queries; ++i) {
    data.pixels[i * size] = static_cast<uint8_t>(i >> 16);
    data.pixels[i * size + 1] = static_cast<uint8_t>(i >> 8);
    data.pixels[i * size + 2] = static_cast<uint8_t>(i);
  }
  return data;
}

struct Flags {
  std::vector<std::string> bundles;
  std::string model = "fashion";
  int workers = 3;
  double rate = 500;
  size_t queries = 10'000;
  int64_t side = 28;
};

absl::Status Measure(const Flags& flags) {
  std::vector<wire::BundleInfo> bundles;
  for (const std::string& path : flags.bundles) {
    PARM_ASSIGN_OR_RETURN(const Bundle bundle, LoadBundle(path));
    bundles.push_back(ToBundleInfo(bundle));
  }
  Stamps stamps(flags.queries);
  std::vector<std::unique_ptr<StampWorker>> workers;
  std::vector<std::string> endpoints;
  for (int i = 0; i < flags.workers; ++i) {
    workers.push_back(std::make_unique<StampWorker>(i, bundles, &stamps));
    endpoints.push_back(workers.back()->endpoint());
  }
  std::printf("parm-dispatch-delay ready zmq=%s\n",
              absl::StrJoin(endpoints, ",").c_str());
  std::fflush(stdout);
  std::string url;
  std::getline(std::cin, url);
  const std::vector<std::string> parts = absl::StrSplit(url, ':');
  uint32_t port = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[1], &port)) {
    return absl::InvalidArgumentError("stdin wants ADDRESS:PORT");
  }
  const LoadClientOptions options{.host = parts[0],
                                  .port = static_cast<uint16_t>(port)};
  PARM_ASSIGN_OR_RETURN(
      ServerReply reply,
      HttpGet(options, absl::StrCat("/v2/models/", flags.model)));
  PARM_ASSIGN_OR_RETURN(
      const oip::ModelMetadata metadata,
      oip::ParseModelMetadata(oip::BodyOf(std::move(reply.body))));
  PARM_ASSIGN_OR_RETURN(
      const InferWire wire,
      InferWire::Create({.host_header = url, .model = flags.model}, metadata,
                        NumberedImages(flags.queries, flags.side)));
  Client client(flags.queries);
  PARM_RETURN_IF_ERROR(client.Run(options, flags.rate, wire));

  LatencyHistogram delay;
  for (size_t i = 0; i < flags.queries; ++i) {
    const Time came{Clock::duration(stamps[i].load())};
    if (came != Time{}) delay.Record(came - client.sent()[i]);
  }
  std::string text;
  JsonWriter json(&text);
  json.BeginObject().Key("queries").Uint(flags.queries);
  json.Key("answered").Uint(client.num_answered());
  json.Key("stamped").Int(delay.count());
  for (const auto& [name, quantile] :
       {std::pair{"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}}) {
    json.Key(name).Double(ToSeconds(delay.Quantile(quantile)) * 1e6);
  }
  json.EndObject();
  std::printf("%s\n", text.c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace parm

int main(int argc, char** argv) {
  CLI::App app("From a client's send until a worker holds the query.");
  parm::Flags flags;
  app.add_option("--bundle", flags.bundles, "Bundles that the workers serve")
      ->required();
  app.add_option("--workers", flags.workers, "How many")->capture_default_str();
  app.add_option("--rate", flags.rate, "Queries per second")
      ->capture_default_str();
  app.add_option("--queries", flags.queries, "How many, below 2^24")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  app.add_option("--model", flags.model, "Its name on the frontend")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  absl::Status status;
  try {
    status = parm::Measure(flags);
  } catch (const zmq::error_t& error) {
    status = absl::UnavailableError(error.what());
  }
  if (!status.ok()) {
    std::fprintf(stderr, "parm-dispatch-delay: %s\n",
                 std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
