#include "frontend/upstream/oip/oip_server.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>
#include <variant>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/upstream/oip/grpc_channel.h"
#include "frontend/upstream/oip/http_channel.h"
#include "frontend/upstream/oip/server_dialect.h"
#include "proto/wire_codec.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

using Clock = std::chrono::steady_clock;

// Readiness of single models is asked for with every so many beats.
constexpr uint64_t kBeatsPerModelCheck = 10;
constexpr Duration kLeastCheckGap = Milliseconds(20);

// Multiples of the golden ratio lie far apart, however many there are.
double PhaseOf(WorkerId worker) {
  const double turns = 0.6180339887498949 * Raw(worker);
  return turns - std::floor(turns);
}

uint64_t RandomNonce() {
  std::random_device device;
  return (uint64_t{device()} << 32 | device()) | 1;
}

std::unique_ptr<ServerChannel> MakeChannel(ServerChannelParts parts) {
  return parts.server->url.protocol == ServerProtocol::kGrpc
             ? MakeGrpcChannel(std::move(parts))
             : MakeHttpChannel(std::move(parts));
}

}  // namespace

OipServer::OipServer(Parts parts)
    : parts_(std::move(parts)),
      channel_(MakeChannel({.loop = parts_.loop,
                            .server = &parts_.options,
                            .all = parts_.all,
                            .counters = &parts_.counters->connections,
                            .on_closed_idle = [this] { CheckSoon(); }})),
      watch_({.channel = channel_.get(),
              .max_in_flight = parts_.options.max_in_flight,
              .interval = parts_.all->bundle_check_interval,
              .timeout = parts_.all->check_timeout,
              .phase = PhaseOf(parts_.worker),
              .anyone_asks = parts_.anyone_asks,
              .counters = &parts_.counters->bundle_checks,
              .on_changed = [this] { MeetAnew(); }}),
      timer_(*parts_.loop),
      backoff_(parts_.all->heartbeat_interval) {
  Check();
  Tick();
}

OipServer::~OipServer() { *alive_ = false; }

void OipServer::Tick() {
  timer_.expires_after(parts_.all->heartbeat_interval);
  timer_.async_wait(
      [this, alive = alive_](const boost::system::error_code& error) {
        if (error || !*alive) return;
        const Time now = Clock::now();
        channel_->Sweep(now);
        if (!checking_ && now >= next_check_) Check();
        watch_.Run(now, exchanges_.size());
        Tick();
      });
}

// ---- Tasks ---------------------------------------------------------------

absl::Status OipServer::SendInfer(const InferTask& task,
                                  absl::Span<const oip::Tensor> tensors) {
  const auto refuse = [this](absl::Status why) {
    ++parts_.counters->sends_refused;
    return why;
  };
  if (!up_) return refuse(absl::UnavailableError("the server is not there"));
  const auto model =
      std::find_if(models_.begin(), models_.end(), [&](const Model& candidate) {
        return candidate.described &&
               absl::string_view(candidate.info.sha256()) == task.bundle_sha256;
      });
  if (model == models_.end()) {
    return refuse(absl::UnavailableError("the server does not serve it now"));
  }
  // One connection is left for asking how it is.
  if (channel_->num_busy() > 2 * size_t{parts_.options.max_in_flight}) {
    return refuse(
        absl::ResourceExhaustedError("all connections to the server are busy"));
  }
  oip::InferRequest request;
  request.inputs.assign(tensors.begin(), tensors.end());
  if (task.context != nullptr) {
    request.id = task.context->id;
    request.parameters = task.context->parameters;
    request.headers = task.context->headers;
  }
  // Of two servers with the same bundle each may have names of its own.
  const auto num_inputs = static_cast<size_t>(model->info.inputs_size());
  for (size_t i = 0; i < std::min(num_inputs, request.inputs.size()); ++i) {
    request.inputs[i].spec.name =
        model->info.inputs(static_cast<int>(i)).name();
  }
  const auto index = static_cast<size_t>(model - models_.begin());
  const absl::StatusOr<uint64_t> exchange =
      channel_->Infer(index, std::move(request),
                      Clock::now() + task.budget + parts_.all->keep_late,
                      [this, id = task.task, index](ServerAnswer answer) {
                        OnInferEnd(id, index, std::move(answer));
                      });
  if (absl::IsInvalidArgument(exchange.status())) {
    return refuse(absl::OutOfRangeError(exchange.status().message()));
  }
  if (!exchange.ok()) return refuse(exchange.status());
  exchanges_[Raw(task.task)] = *exchange;
  return absl::OkStatus();
}

void OipServer::Cancel(TaskId task) {
  const auto found = exchanges_.find(Raw(task));
  if (found != exchanges_.end()) channel_->Drop(found->second);
}

void OipServer::OnInferEnd(TaskId task, size_t model, ServerAnswer answer) {
  exchanges_.erase(Raw(task));
  WorkerReply reply{.task = task, .status = wire::ERROR};
  switch (answer.end) {
    case ExchangeEnd::kReplied:
      reply = TranslateReply(task, models_.at(model).info.version(),
                             std::move(answer), &parts_.counters->replies,
                             &models_.at(model).replied_version);
      // At the next look at its models it is asked for everything anew.
      if (!reply.decodable) greet_ = true;
      break;
    case ExchangeEnd::kDropped:
      reply.status = wire::CANCELLED;
      break;
    case ExchangeEnd::kTimedOut:
      reply.status = wire::EXPIRED;
      break;
    case ExchangeEnd::kNotConnected:
    case ExchangeEnd::kBroken:
      CheckSoon();
      // Nobody has refused it: whoever asks again may get an answer.
      answer.status = absl::UnavailableError(answer.status.message());
      [[fallthrough]];
    case ExchangeEnd::kMalformed:
    case ExchangeEnd::kTooLarge:
      reply.retryable = true;
      reply.error_code = answer.status.code();
      reply.error = std::string(answer.status.message());
  }
  parts_.listener->OnReply(parts_.worker, std::move(reply));
}

// ---- Health --------------------------------------------------------------

void OipServer::CheckSoon() {
  next_check_ = Time{};
  // At once, unless that was just done: a server that closes each connection
  // after its reply would be asked without end.
  if (!checking_ && Clock::now() - last_check_ > kLeastCheckGap) Check();
}

void OipServer::Check() {
  checking_ = true;
  last_check_ = Clock::now();
  ++num_beats_;
  Ask(ServerQuestion::kReady, &OipServer::OnReady);
}

void OipServer::EndCheck() {
  checking_ = false;
  const Duration interval = parts_.all->heartbeat_interval;
  if (up_ && !not_ready_) {
    backoff_ = interval;
  } else {
    backoff_ = std::min(2 * backoff_, parts_.all->max_backoff);
  }
  next_check_ = Clock::now() + (up_ ? interval : backoff_);
}

void OipServer::Ask(ServerQuestion question, Then then) {
  const absl::StatusOr<uint64_t> asked =
      channel_->Ask(question, at_model_,
                    Clock::now() + parts_.all->check_timeout, Checking(then));
  // All connections are held by tasks: that they are answered, or not, tells
  // how the server is.
  if (!asked.ok()) EndCheck();
}

ServerChannel::Done OipServer::Checking(Then then) {
  return [this, then](ServerAnswer answer) {
    if (answer.end != ExchangeEnd::kReplied) return OnCheckFailed(answer);
    if (up_) {
      parts_.listener->OnHeartbeat(parts_.worker, /*queue_depth=*/0,
                                   static_cast<uint32_t>(exchanges_.size()));
    }
    (this->*then)(std::move(answer));
  };
}

void OipServer::OnCheckFailed(const ServerAnswer& answer) {
  // A server that is stopped or overloaded keeps its connections: silence is
  // the core's to judge.
  if (answer.end != ExchangeEnd::kTimedOut) GoDown();
  EndCheck();
}

void OipServer::GoDown() {
  greet_ = true;
  if (!up_) return;
  up_ = false;
  not_ready_ = false;
  left_ready_ = false;
  watch_.Stop();
  ++parts_.counters->lost;
  channel_->CloseAll();
  exchanges_.clear();
  parts_.listener->OnLost(parts_.worker);
}

void OipServer::BeNotReady() {
  greet_ = true;
  left_ready_ = false;
  if (!up_ || not_ready_) return;
  not_ready_ = true;
  watch_.Stop();
  ++parts_.counters->not_ready;
  parts_.listener->OnDraining(parts_.worker);
}

void OipServer::Leave() {
  leaving_ = true;
  greet_ = true;
  watch_.Stop();
  if (!up_ || std::exchange(not_ready_, true)) return;
  left_ready_ = true;
  parts_.listener->OnDraining(parts_.worker);
}

// At once, and everything: as if it had come just now.
void OipServer::MeetAnew() {
  greet_ = true;
  num_beats_ = kBeatsPerModelCheck - 1;
  CheckSoon();
}

void OipServer::Stay() {
  leaving_ = false;
  CheckSoon();
}

void OipServer::OnReady(ServerAnswer answer) {
  // Its answers are signs of life still.
  if (leaving_) return EndCheck();
  if (!answer.status.ok()) {
    BeNotReady();
    return EndCheck();
  }
  if (up_ && !not_ready_ && num_beats_ % kBeatsPerModelCheck != 0) {
    return EndCheck();
  }
  asked_.assign(parts_.options.serves.size(), Model());
  for (size_t i = 0; i < asked_.size(); ++i) {
    if (!models_.empty()) {
      asked_[i].replied_version = models_[i].replied_version;
    }
  }
  at_model_ = 0;
  readiness_only_ = !greet_;
  if (readiness_only_) return AskModel();
  Ask(ServerQuestion::kMetadata, &OipServer::OnServerMetadata);
}

// The channel has learned from it; one that says nothing of itself will do.
void OipServer::OnServerMetadata(ServerAnswer /*answer*/) { AskModel(); }

void OipServer::AskModel() {
  Ask(ServerQuestion::kModelReady, &OipServer::OnModelReady);
}

void OipServer::OnModelReady(ServerAnswer answer) {
  Model& model = asked_[at_model_];
  model.ready = answer.status.ok();
  if (!model.ready || readiness_only_) return NextModel();
  Ask(ServerQuestion::kModelMetadata, &OipServer::OnModelMetadata);
}

void OipServer::OnModelMetadata(ServerAnswer answer) {
  Model& model = asked_[at_model_];
  const KnownBundle* const known = parts_.known[at_model_].get();
  if (!answer.status.ok()) {
    last_refusal_ =
        absl::StrCat("its metadata cannot be had: ", answer.status.message());
    return NextModel();
  }
  model.metadata = std::get<oip::ModelMetadata>(std::move(answer.content));
  if (known == nullptr) {
    FallBack(absl::OkStatus());
    return NextModel();
  }
  absl::StatusOr<wire::BundleInfo> info =
      DescribeKnownModel(Served(), model.metadata, *known);
  if (!info.ok()) {
    FallBack(info.status());
    return NextModel();
  }
  model.info = *std::move(info);
  model.described = true;
  // A parity model's probes tell of the deployed model that it stands in for.
  if (known->info.role() != wire::DEPLOYED || known->num_probes == 0) {
    return NextModel();
  }
  at_probe_ = 0;
  AskProbe();
}

void OipServer::AskProbe() {
  const Model& model = asked_[at_model_];
  const absl::StatusOr<uint64_t> asked = channel_->Infer(
      at_model_,
      ProbeRequest(*parts_.known[at_model_], at_probe_,
                   model.info.inputs(0).name()),
      Clock::now() + parts_.all->check_timeout, Checking(&OipServer::OnProbe));
  if (absl::IsResourceExhausted(asked.status())) return EndCheck();
  if (!asked.ok()) {
    FallBack(asked.status());
    return NextModel();
  }
}

void OipServer::OnProbe(ServerAnswer answer) {
  const KnownBundle& known = *parts_.known[at_model_];
  absl::Status same;
  if (answer.status.ok()) {
    same = CheckProbe(known, at_probe_,
                      std::get<oip::InferResponse>(answer.content).outputs);
  } else {
    same = absl::FailedPreconditionError(
        absl::StrCat("probe ", at_probe_, ": ", answer.status.message()));
  }
  if (!same.ok()) {
    ++parts_.counters->probes_failed;
    asked_[at_model_].is_bundle = false;
    FallBack(same);
    return NextModel();
  }
  if (++at_probe_ < known.num_probes) return AskProbe();
  ++parts_.counters->probes_passed;
  asked_[at_model_].is_bundle = true;
  NextModel();
}

// The model that is asked about, with the version that its replies name, if the
// server has that still.
OipServedModel OipServer::Served() const {
  OipServedModel served = parts_.options.serves[at_model_];
  const Model& model = asked_[at_model_];
  const std::vector<std::string>& versions = model.metadata.versions;
  if (served.version.empty() &&
      std::find(versions.begin(), versions.end(), model.replied_version) !=
          versions.end()) {
    served.version = model.replied_version;
  }
  return served;
}

// It is served all the same, under a name of its own: no parity fits that.
void OipServer::FallBack(const absl::Status& why) {
  Model& model = asked_[at_model_];
  const OipServedModel served = Served();
  model.described = false;
  if (!why.ok()) {
    spdlog::error(
        "model '{}' of {} is not what bundle {} holds ({}); it is served as it "
        "is and takes no part in coding",
        served.server_name, parts_.options.endpoint, served.bundle,
        std::string(why.message()));
    // What should have been a parity or backup model is of no use then.
    if (parts_.known[at_model_]->info.role() != wire::DEPLOYED) return;
  }
  absl::StatusOr<wire::BundleInfo> info = DescribeModel(served, model.metadata);
  if (!info.ok()) {
    last_refusal_ = std::string(info.status().message());
    return;
  }
  model.info = *std::move(info);
  model.described = true;
}

void OipServer::NextModel() {
  if (++at_model_ < asked_.size()) return AskModel();
  if (readiness_only_) {
    for (size_t i = 0; i < asked_.size(); ++i) {
      greet_ |= asked_[i].ready != models_[i].ready;
    }
    return EndCheck();
  }
  SayHello();
  EndCheck();
}

void OipServer::SayHello() {
  if (leaving_) return;
  wire::Hello hello;
  for (const Model& model : asked_) {
    if (model.described) *hello.add_bundles() = model.info;
  }
  if (hello.bundles().empty()) {
    ++parts_.counters->hellos_refused;
    BeNotReady();
    parts_.listener->OnHelloRefused(
        parts_.worker, last_refusal_.empty()
                           ? "none of its models is ready"
                           : std::exchange(last_refusal_, std::string()));
    return;
  }
  models_ = std::move(asked_);
  greet_ = false;
  if (std::exchange(left_ready_, false)) {
    parts_.listener->OnStays(parts_.worker);
  } else if (!up_ || not_ready_) {
    // What it held before it was away or not ready does not count any more.
    nonce_ = RandomNonce();
  }
  up_ = true;
  not_ready_ = false;
  ++parts_.counters->hellos;
  const std::string& endpoint = parts_.options.endpoint;
  hello.set_worker_id(absl::StrCat(ServerKindName(channel_->kind()), " ",
                                   endpoint.substr(endpoint.find("://") + 3)));
  hello.set_instance_nonce(nonce_);
  hello.set_lanes(parts_.options.lanes);
  WatchBundles();
  parts_.listener->OnHello(parts_.worker, hello);
}

void OipServer::WatchBundles() {
  std::vector<BundleWatch::Model> watched;
  for (size_t i = 0; i < models_.size(); ++i) {
    const Model& model = models_[i];
    if (!model.described || !model.is_bundle.has_value()) continue;
    watched.push_back({.index = i,
                       .input_name = model.info.inputs(0).name(),
                       .known = parts_.known[i],
                       .same = *model.is_bundle});
  }
  watch_.Start(Clock::now(), std::move(watched));
}

}  // namespace parm
