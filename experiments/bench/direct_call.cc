// parm-direct-call: calls one worker over ZeroMQ, without a frontend, one task
// at a time on a constant schedule. Its latency is what the frontend's own is
// compared with, and its own CPU time what no frontend's trip to a worker can
// go below. Prints one JSON line.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/json_writer.h"
#include "base/latency_histogram.h"
#include "base/status_macros.h"
#include "experiments/load/process_usage.h"
#include "proto/duration.h"
#include "proto/wire_codec.h"
#include "zmq.hpp"

namespace parm {
namespace {

using Clock = std::chrono::steady_clock;

struct Flags {
  std::string worker;
  double rate = 200;
  int calls = 2000;
  std::string timeout = "5s";
};

class DirectCaller {
 public:
  /// `patience`: one answer within this time, or the measurement ends.
  DirectCaller(const std::string& endpoint, Duration patience)
      : patience_(patience) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.connect(endpoint);
  }

  /// Learns what the worker serves; the first deployed bundle is called.
  absl::Status SayHello() {
    wire::Envelope request;
    request.mutable_hello_request()->set_frontend_id("parm-direct-call");
    const Time until = Clock::now() + patience_;
    Send(request, nullptr);
    while (true) {
      PARM_ASSIGN_OR_RETURN(const wire::Envelope reply, Receive(until));
      if (!reply.has_hello()) continue;
      for (const wire::BundleInfo& bundle : reply.hello().bundles()) {
        if (bundle.role() == wire::DEPLOYED && bundle.inputs_size() == 1) {
          bundle_ = bundle;
          return PrepareInput();
        }
      }
      return absl::FailedPreconditionError(
          "worker serves no deployed bundle with one input");
    }
  }

  /// One task, from before its send to after its reply.
  absl::StatusOr<Duration> Call() {
    wire::Envelope request;
    wire::Infer& infer = *request.mutable_infer();
    infer.set_task_id(++last_task_id_);
    infer.set_bundle_sha256(bundle_.sha256());
    *infer.add_tensors() = input_spec_;
    const Time start = Clock::now();
    Send(request, &input_);
    while (true) {
      PARM_ASSIGN_OR_RETURN(const wire::Envelope reply,
                            Receive(start + patience_));
      if (!reply.has_reply() || reply.reply().task_id() != last_task_id_) {
        continue;
      }
      const Duration latency = Clock::now() - start;
      if (reply.reply().status() != wire::OK) {
        return absl::InternalError(
            absl::StrCat("worker failed: ", reply.reply().error()));
      }
      return latency;
    }
  }

 private:
  absl::Status PrepareInput() {
    input_spec_ = bundle_.inputs(0);
    if (input_spec_.shape_size() > 0) input_spec_.set_shape(0, 1);
    const TensorSpec spec = wire::FromWire(input_spec_);
    PARM_ASSIGN_OR_RETURN(const int64_t size,
                          NumBytes(spec.datatype, spec.shape));
    input_.assign(static_cast<size_t>(size), '\0');
    return absl::OkStatus();
  }

  void Send(const wire::Envelope& envelope, const std::string* tensor) {
    const std::string frame = wire::SerializeEnvelope(envelope);
    socket_.send(zmq::buffer(frame), tensor == nullptr
                                         ? zmq::send_flags::none
                                         : zmq::send_flags::sndmore);
    if (tensor != nullptr) {
      socket_.send(zmq::buffer(*tensor), zmq::send_flags::none);
    }
  }

  /// The next envelope; its tensors are dropped. Heartbeats are envelopes too,
  /// so that it is `until` that ends the wait for an answer.
  absl::StatusOr<wire::Envelope> Receive(Time until) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        std::max(until - Clock::now(), Duration{0}));
    socket_.set(zmq::sockopt::rcvtimeo, static_cast<int>(left.count()));
    zmq::message_t frame;
    if (left.count() == 0 || !socket_.recv(frame).has_value()) {
      return absl::DeadlineExceededError("worker does not answer");
    }
    bool more = frame.more();
    while (more) {
      zmq::message_t tensor;
      if (!socket_.recv(tensor).has_value()) break;
      more = tensor.more();
    }
    return wire::ParseEnvelope(absl::MakeConstSpan(
        static_cast<const std::byte*>(frame.data()), frame.size()));
  }

  const Duration patience_;
  zmq::context_t context_;
  zmq::socket_t socket_{context_, zmq::socket_type::dealer};
  wire::BundleInfo bundle_;
  wire::TensorSpec input_spec_;
  std::string input_;
  uint64_t last_task_id_ = 0;
};

absl::Status Measure(const Flags& flags) {
  PARM_ASSIGN_OR_RETURN(const Duration patience, ParseDuration(flags.timeout));
  DirectCaller caller(flags.worker, patience);
  PARM_RETURN_IF_ERROR(caller.SayHello());
  const Duration gap = FromSeconds(1 / flags.rate);
  LatencyHistogram latency;
  PARM_ASSIGN_OR_RETURN(const ProcessUsage before, ReadProcessUsage(getpid()));
  Time due = Clock::now();
  for (int i = 0; i < flags.calls; ++i) {
    std::this_thread::sleep_until(due);
    due = std::max(due + gap, Clock::now());
    PARM_ASSIGN_OR_RETURN(const Duration taken, caller.Call());
    latency.Record(taken);
  }
  PARM_ASSIGN_OR_RETURN(const ProcessUsage after, ReadProcessUsage(getpid()));
  std::string text;
  JsonWriter json(&text);
  json.BeginObject().Key("calls").Int(latency.count());
  json.Key("p50_us").Double(ToSeconds(latency.Quantile(0.5)) * 1e6);
  json.Key("p99_us").Double(ToSeconds(latency.Quantile(0.99)) * 1e6);
  json.Key("cpu_us_per_call")
      .Double(ToSeconds(after.cpu - before.cpu) * 1e6 / flags.calls);
  json.EndObject();
  std::printf("%s\n", text.c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace parm

int main(int argc, char** argv) {
  CLI::App app("Calls one worker over ZeroMQ, one task at a time.");
  parm::Flags flags;
  app.add_option("--worker", flags.worker, "tcp://ADDRESS:PORT")->required();
  app.add_option("--rate", flags.rate, "Calls per second")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--calls", flags.calls, "How many")->capture_default_str();
  app.add_option("--timeout", flags.timeout, "For one answer")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  absl::Status status;
  try {
    status = parm::Measure(flags);
  } catch (const zmq::error_t& error) {
    status = absl::UnavailableError(error.what());
  }
  if (!status.ok()) {
    std::fprintf(stderr, "parm-direct-call: %s\n",
                 std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
