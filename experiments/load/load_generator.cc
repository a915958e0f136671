#include "experiments/load/load_generator.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "experiments/load/grpc_client.h"
#include "experiments/load/http_client.h"
#include "experiments/load/process_usage.h"
#include "experiments/seeded_random.h"

namespace parm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Duration kConnectTimeout = Milliseconds(5'000);
constexpr Duration kLeadIn = Milliseconds(20);

/// Sample numbers in seeded random order, each once before any comes again.
class SampleOrder {
 public:
  SampleOrder(size_t num_samples, uint64_t seed)
      : random_(seed ^ 0x5a17), order_(num_samples) {
    std::iota(order_.begin(), order_.end(), size_t{0});
  }

  size_t Next() {
    if (next_ == 0) {
      for (size_t i = order_.size() - 1; i > 0; --i) {
        std::swap(order_[i], order_[random_.NextBelow(i + 1)]);
      }
    }
    const size_t sample = order_[next_];
    next_ = (next_ + 1) % order_.size();
    return sample;
  }

 private:
  SeededRandom random_;
  std::vector<size_t> order_;
  size_t next_ = 0;
};

absl::StatusOr<std::unique_ptr<LoadClient>> CreateClient(
    const LoadClientOptions& options, LoadClient::Listener* listener) {
  if (options.protocol == LoadProtocol::kGrpc) {
    return GrpcClient::Create(options, listener);
  }
  return HttpClient::Create(options, listener);
}

class Run : public LoadClient::Listener {
 public:
  Run(const LoadOptions& options, const TestData& data,
      const std::vector<int>& reference, InferWire* wire,
      ArrivalSchedule schedule)
      : options_(options),
        data_(data),
        reference_(reference),
        wire_(wire),
        schedule_(std::move(schedule)),
        samples_(static_cast<size_t>(data.num_samples), options.arrivals.seed),
        batches_(options.batches, options.arrivals.seed),
        report_{.tally = LoadTally(options.deadline)} {}

  absl::StatusOr<LoadReport> Execute();

  void OnSent(LoadClient::Token token, Time now) override;
  void OnReply(LoadClient::Token token, Time now, ServerReply reply) override;
  void OnNoReply(LoadClient::Token token, Time now,
                 const absl::Status& why) override;

 private:
  struct Query {
    Time due{};
    std::optional<Time> sent;
    size_t sample = 0;  // the first of its images
    size_t images = 1;
    bool measured = false;
  };
  // What an answer says: how it came about, and for how many images rightly.
  struct Verdict {
    Outcome outcome = Outcome::kError;
    int right = 0;
  };

  /// True if there was a connection for it.
  bool SendNext(Time now);
  void Advance();
  void End(const Query& query, Time now, Verdict verdict, bool shed);
  Verdict Judge(const Query& query, ServerReply reply);
  /// How many of the query's images these are the right classes of.
  int NumRight(const Query& query, absl::Span<const int> classes) const;
  int NumDeployedRight(const Query& query) const;
  void NoteError(absl::string_view message);
  void NoteSend(Duration offset);
  void FinishReport();

  const LoadOptions& options_;
  const TestData& data_;
  const std::vector<int>& reference_;
  InferWire* const wire_;
  ArrivalSchedule schedule_;
  SampleOrder samples_;
  BatchMix batches_;
  LoadReport report_;

  std::unique_ptr<LoadClient> client_;
  Time start_{};
  std::optional<Query> next_;  // the query that is due next
  LoadClient::Token next_token_ = 1;
  // Bounded by max_connections.
  std::unordered_map<LoadClient::Token, Query> in_flight_;
  int64_t num_measured_ = 0;
  Time last_end_{};
  std::optional<ProcessUsage> usage_at_start_;
  // Of what left, warm-up too, uniform in [0, 1] if the schedule's law holds:
  // gaps, and times among all of the run. Eight bytes a query each.
  std::vector<double> send_gaps_;
  std::vector<double> send_times_;
  double last_expected_ = 0;
};

void Run::Advance() {
  const std::optional<Duration> offset = schedule_.Next();
  if (!offset.has_value()) {
    next_.reset();
    return;
  }
  next_ = Query{.due = start_ + *offset,
                .sample = samples_.Next(),
                .images = batches_.Next(),
                .measured = *offset >= options_.warm_up};
}

bool Run::SendNext(Time now) {
  const Query query = *next_;
  const LoadClient::Token token = next_token_++;
  in_flight_.emplace(token, query);
  if (!client_->Send(token, wire_->head(query.images),
                     wire_->body(query.sample, query.images))) {
    in_flight_.erase(token);
    // Nobody waits for it any more: it never got a connection.
    if (now - query.due < options_.client.reply_timeout) return false;
    if (query.measured) report_.tally.RecordSend(now - query.due);
    End(query, now, {.outcome = Outcome::kLost}, /*shed=*/false);
  }
  if (query.measured) {
    if (num_measured_ == 0 && options_.process_id != 0) {
      auto usage = ReadProcessUsage(options_.process_id);
      if (usage.ok()) usage_at_start_ = *usage;
    }
    ++num_measured_;
  } else {
    ++report_.warm_up_queries;
  }
  report_.largest_in_flight =
      std::max<int64_t>(report_.largest_in_flight, client_->num_in_flight());
  Advance();
  return true;
}

void Run::NoteSend(Duration offset) {
  if (options_.arrivals.law != ArrivalLaw::kPoisson) return;
  const double expected = schedule_.Expected(offset);
  send_gaps_.push_back(-std::expm1(last_expected_ - expected));
  send_times_.push_back(expected /
                        schedule_.Expected(options_.arrivals.length));
  last_expected_ = expected;
}

void Run::OnSent(LoadClient::Token token, Time now) {
  Query& query = in_flight_.at(token);
  query.sent = now;
  NoteSend(now - start_);
  if (query.measured) report_.tally.RecordSend(now - query.due);
}

void Run::NoteError(absl::string_view message) {
  for (ErrorKind& kind : report_.errors) {
    if (kind.message != message) continue;
    ++kind.count;
    return;
  }
  if (report_.errors.size() == kMaxErrorKinds) {
    ++report_.other_errors;
    return;
  }
  report_.errors.push_back({.message = std::string(message), .count = 1});
}

Run::Verdict Run::Judge(const Query& query, ServerReply reply) {
  if (!reply.error.empty()) {
    NoteError(reply.error);
    return {};
  }
  const std::optional<Outcome> source = ParseSource(reply.source);
  const absl::StatusOr<absl::Span<const int>> predicted =
      wire_->PredictedClasses(std::move(reply), query.images);
  if (!source.has_value() || !predicted.ok()) {
    NoteError(predicted.ok() ? "x-parm-source is none of ours"
                             : predicted.status().message());
    return {};
  }
  return {.outcome = *source, .right = NumRight(query, *predicted)};
}

int Run::NumRight(const Query& query, absl::Span<const int> classes) const {
  int right = 0;
  for (size_t i = 0; i < classes.size(); ++i) {
    const size_t sample = (query.sample + i) % data_.labels.size();
    right += classes[i] == data_.labels[sample] ? 1 : 0;
  }
  return right;
}

int Run::NumDeployedRight(const Query& query) const {
  int right = 0;
  for (size_t i = 0; i < query.images; ++i) {
    const size_t sample = (query.sample + i) % reference_.size();
    right += reference_[sample] == data_.labels[sample] ? 1 : 0;
  }
  return right;
}

void Run::OnReply(LoadClient::Token token, Time now, ServerReply reply) {
  const Query query = in_flight_.at(token);
  in_flight_.erase(token);
  const bool shed = reply.shed;
  const Verdict verdict = Judge(query, std::move(reply));
  End(query, now, verdict, shed);
}

void Run::OnNoReply(LoadClient::Token token, Time now,
                    const absl::Status& why) {
  const Query query = in_flight_.at(token);
  in_flight_.erase(token);
  NoteError(why.message());
  // A query that never left is as late as it ever will be.
  if (!query.sent.has_value() && query.measured) {
    report_.tally.RecordSend(now - query.due);
  }
  End(query, now, {.outcome = Outcome::kLost}, /*shed=*/false);
}

void Run::End(const Query& query, Time now, Verdict verdict, bool shed) {
  if (!query.measured) return;
  const auto further = static_cast<int64_t>(query.images) - 1;
  FinishedQuery finished{.outcome = verdict.outcome,
                         .latency = now - query.due,
                         .latency_from_send = now - query.sent.value_or(now),
                         .samples = static_cast<int>(query.images),
                         .right = verdict.right,
                         .shed = shed};
  if (options_.clean_service > Duration{0}) {
    finished.clean_service =
        options_.clean_service + further * options_.clean_extra_sample;
  }
  if (verdict.outcome == Outcome::kLost) {
    // As long as anybody could have waited.
    finished.latency =
        std::max(finished.latency, options_.client.reply_timeout);
    finished.latency_from_send = finished.latency;
  }
  if (!reference_.empty()) {
    finished.deployed_right = NumDeployedRight(query);
  }
  report_.tally.Record(finished);
  if (options_.log_queries) {
    report_.queries.push_back({.due = query.due - start_,
                               .latency = finished.latency,
                               .outcome = verdict.outcome});
  }
  last_end_ = now;
}

absl::StatusOr<LoadReport> Run::Execute() {
  PARM_ASSIGN_OR_RETURN(client_, CreateClient(options_.client, this));
  if (!client_->Connect(Clock::now() + kConnectTimeout)) {
    return absl::UnavailableError(absl::StrCat("server takes no connection: ",
                                               HostHeader(options_.client)));
  }
  start_ = Clock::now() + kLeadIn;
  Advance();
  while (next_.has_value() || client_->num_in_flight() > 0) {
    const Time now = Clock::now();
    if (next_.has_value() && next_->due <= now && SendNext(now)) {
      // Replies are handled between sends too: under a burst the older ones
      // must not wait until it is over.
      client_->Poll();
      continue;
    }
    // Without a due time ahead only a reply or a timeout can change anything.
    const Time wake = next_.has_value() && next_->due > now
                          ? next_->due - options_.spin
                          : kNever;
    client_->RunUntil(wake);
  }
  FinishReport();
  return std::move(report_);
}

void Run::FinishReport() {
  const Time first_due = start_ + options_.warm_up;
  const Duration length = options_.arrivals.length - options_.warm_up;
  report_.offered_qps = static_cast<double>(num_measured_) / ToSeconds(length);
  if (!send_gaps_.empty()) {
    report_.send_gaps = TestUniform(std::move(send_gaps_));
    report_.send_times = TestUniform(std::move(send_times_));
  }
  if (num_measured_ == 0) return;
  report_.measured = std::max(last_end_ - first_due, length);
  const int64_t failed = report_.tally.count(Outcome::kError) +
                         report_.tally.count(Outcome::kLost);
  report_.achieved_qps =
      static_cast<double>(num_measured_ - failed) / ToSeconds(report_.measured);
  if (!usage_at_start_.has_value()) return;
  const auto usage = ReadProcessUsage(options_.process_id);
  if (!usage.ok()) return;
  report_.cpu_us_per_query = ToSeconds(usage->cpu - usage_at_start_->cpu) *
                             1e6 / static_cast<double>(num_measured_);
  report_.rss_mb = static_cast<double>(usage->resident_bytes) / 1e6;
}

}  // namespace

std::string LoadReport::first_error() const {
  return errors.empty() ? "" : errors[0].message;
}

void LoadReport::FillEntry(RunEntry* entry) const {
  tally.FillEntry(entry);
  entry->offered_qps = offered_qps;
  entry->achieved_qps = achieved_qps;
  entry->cpu_us_per_query = cpu_us_per_query;
  entry->rss_mb = rss_mb;
}

absl::StatusOr<LoadReport> RunLoad(const LoadOptions& options,
                                   const TestData& data,
                                   const std::vector<int>& reference,
                                   InferWire* wire) {
  if (options.warm_up < Duration{0} ||
      options.warm_up >= options.arrivals.length) {
    return absl::InvalidArgumentError("warm-up must end before the run does");
  }
  if (!reference.empty() &&
      reference.size() != static_cast<size_t>(data.num_samples)) {
    return absl::InvalidArgumentError(
        absl::StrCat("reference is of another data set: got ", reference.size(),
                     " rows, want ", data.num_samples));
  }
  PARM_ASSIGN_OR_RETURN(ArrivalSchedule schedule,
                        ArrivalSchedule::Create(options.arrivals));
  return Run(options, data, reference, wire, std::move(schedule)).Execute();
}

}  // namespace parm
