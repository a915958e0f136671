#include "frontend/frontend_loop.h"

#include <algorithm>
#include <deque>
#include <unordered_map>
#include <utility>
#include <variant>

#include "base/status_macros.h"
#include "boost/asio/post.hpp"
#include "frontend/action_performer.h"
#include "frontend/answer_builder.h"
#include "frontend/buffer_table.h"
#include "frontend/core/frontend_core.h"
#include "frontend/error_texts.h"
#include "frontend/file_watcher.h"
#include "frontend/frontend_metrics.h"
#include "frontend/loop_counters.h"
#include "frontend/model_directory.h"
#include "frontend/model_notices.h"
#include "frontend/query_admission.h"
#include "frontend/reply_checker.h"
#include "frontend/sequence_router.h"
#include "frontend/unit_chooser.h"
#include "frontend/upstream/oip/oip_upstream.h"
#include "frontend/wake_timer.h"
#include "frontend/worker_board.h"
#include "frontend/workers_config.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

using Clock = std::chrono::steady_clock;

class Loop final : public FrontendLoop,
                   public UpstreamListener,
                   public PerformerHost {
 public:
  Loop(boost::asio::io_context& loop, FrontendOptions options,
       QueryCapture* capture)
      : options_(std::move(options)),
        loop_(loop),
        timer_(loop, [this] { Run(core::TimerFired{}); }),
        catalog_(options_.catalog),
        units_(catalog_),
        workers_(EndpointsOf(options_), options_.core.heartbeat_timeout),
        directory_(options_.core.models, catalog_, workers_),
        notices_(options_.core.models, options_.default_answers),
        admission_({.options = &options_,
                    .directory = &directory_,
                    .catalog = &catalog_,
                    .units = &units_,
                    .buffers = &buffers_,
                    .capture = capture,
                    .counters = &counters_}) {}
  ~Loop() override { *alive_ = false; }

  absl::Status Start();

  // QueryService.
  QueryHandle Infer(oip::InferRequest request, Done done) override;
  void Abandon(QueryHandle handle) override;
  bool Ready() const override {
    return !draining_ && directory_.Ready(Clock::now());
  }
  absl::StatusOr<bool> ModelReady(const std::string& model,
                                  const std::string& version) const override {
    PARM_ASSIGN_OR_RETURN(const ModelId found, directory_.Find(model, version));
    return !draining_ && directory_.HasLiveWorker(found, Clock::now());
  }
  absl::StatusOr<ModelMetadata> Metadata(
      const std::string& model, const std::string& version) const override {
    return directory_.Metadata(model, version);
  }
  std::vector<std::string> ModelNames() const override {
    return directory_.Names();
  }
  absl::StatusOr<std::vector<oip::ModelStatistics>> Statistics(
      const std::string& model, const std::string& version) const override {
    return directory_.Statistics(model, version, core_->counters(), counters_);
  }
  std::string MetricsText() override;

  // FrontendLoop.
  void Drain(std::function<void()> drained) override;

  // UpstreamListener.
  void OnPlaced(WorkerId worker, const std::string& endpoint) override {
    workers_.Place(worker, endpoint);
  }
  void OnLeft(WorkerId worker) override;
  void OnHello(WorkerId worker, const wire::Hello& hello) override;
  void OnHelloRefused(WorkerId worker, const std::string& why) override {
    workers_.OnHelloRefused(worker, why);
  }
  void OnLost(WorkerId worker) override;
  void OnHeartbeat(WorkerId worker, uint32_t queue_depth,
                   uint32_t in_flight) override;
  void OnDraining(WorkerId worker) override {
    workers_.OnDraining(worker, Clock::now());
    catalog_.SetTakesTasks(worker, false);
    Run(core::WorkerDraining{.worker = worker});
  }
  void OnStays(WorkerId worker) override { workers_.OnStays(worker); }
  void OnStarted(WorkerId worker, TaskId task) override;
  void OnReply(WorkerId worker, WorkerReply reply) override;

  // PerformerHost.
  void OnAnswer(const core::AnswerQuery& answer) override;
  void OnWakeAt(Time time) override { timer_.WakeAt(time); }

 private:
  struct PendingQuery {
    Done done;
    AnsweredQuery about;
  };

  absl::Status Admit(QueryHandle handle, Time arrived,
                     oip::InferRequest request, Done& done);
  absl::Status TakeStep(QueryHandle handle, Time arrived,
                        AdmittedQuery admitted, Done& done);
  absl::StatusOr<QueryReply> BuildReply(const AnsweredQuery& about,
                                        const core::AnswerQuery& answer);
  void PostFlush();
  // After whatever may have answered a query, or a step of a sequence.
  void Flush();
  // Runs the core on an event and on all that follows from it.
  void Run(const core::Event& event);
  void UpdateVoters(Time now);
  void Forget(WorkerId worker);

  // Constant after Start.
  const FrontendOptions options_;
  boost::asio::io_context& loop_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  WakeTimer timer_;
  ModelCatalog catalog_;
  UnitChooser units_;
  BufferTable buffers_;
  TaskLedger ledger_;
  WorkerBoard workers_;
  const ModelDirectory directory_;
  ModelNotices notices_;
  Time next_voters_update_{};
  std::vector<std::unique_ptr<FileWatcher>> endpoints_files_;
  std::unique_ptr<ZmqUpstream> upstream_;
  std::unique_ptr<OipUpstream> servers_;
  std::unique_ptr<TransportSwitch> transport_;
  std::unique_ptr<ActionPerformer> performer_;
  std::unique_ptr<core::FrontendCore> core_;
  std::unique_ptr<SequenceRouter> sequences_;
  WakeTimer sequence_timer_{loop_, [this] {
                              sequences_->OnTime(Clock::now());
                              Flush();
                            }};
  bool handling_ = false;
  uint64_t last_query_ = 0;
  std::unordered_map<uint64_t, PendingQuery> pending_;
  std::deque<std::pair<QueryHandle, QueryReply>> replies_;
  bool flush_posted_ = false;
  bool in_infer_ = false;
  bool draining_ = false;
  std::function<void()> drained_;
  LoopCounters counters_;
  ErrorTexts error_texts_;
  const QueryAdmission admission_;
  ReplyChecker checker_{{.ledger = &ledger_,
                         .catalog = &catalog_,
                         .buffers = &buffers_,
                         .error_texts = &error_texts_,
                         .counters = &counters_}};
};

absl::Status Loop::Start() {
  PARM_ASSIGN_OR_RETURN(core_, core::FrontendCore::Create(options_.core));
  PARM_ASSIGN_OR_RETURN(upstream_,
                        ZmqUpstream::Create(loop_, options_.upstream, this));
  for (size_t i = 0; i < options_.oip.servers.size(); ++i) {
    const std::string& file = options_.oip.servers[i].endpoints_file;
    if (file.empty()) continue;
    // Watched before it is read, so that no change falls between.
    endpoints_files_.push_back(std::make_unique<FileWatcher>(
        loop_, file, options_.oip.watch_interval,
        [this, i] { servers_->RereadEndpoints(i); }));
  }
  PARM_ASSIGN_OR_RETURN(servers_,
                        OipUpstream::Create(loop_, options_.oip, this));
  transport_ = std::make_unique<TransportSwitch>(
      upstream_.get(), WorkerId{options_.oip.first_worker}, servers_.get());
  ActionPerformer::Parts parts{
      .buffers = &buffers_,
      .ledger = &ledger_,
      .catalog = &catalog_,
      .upstream = transport_.get(),
      .host = this,
      .models = &options_.core.models,
      // The core forgets a task by then; its late reply is still checked.
      .keep_tasks = options_.core.feedback_horizon + Milliseconds(1000)};
  std::vector<uint32_t> max_in_flight = options_.catalog.max_in_flight;
  // Our own workers come first, and know no sequences.
  std::fill_n(max_in_flight.begin(), options_.oip.first_worker, 0);
  sequences_ = std::make_unique<SequenceRouter>(
      options_.sequences,
      SequenceRouter::Parts{
          .buffers = &buffers_,
          .ledger = &ledger_,
          .catalog = &catalog_,
          .workers = &workers_,
          .upstream = transport_.get(),
          .counters = &counters_,
          .on_answer = [this](const auto& answer) { OnAnswer(answer); },
          .on_failure =
              [this](QueryId query, const absl::Status& why) {
                replies_.emplace_back(QueryHandle{Raw(query)},
                                      RefusalReply(why));
              },
          .max_in_flight = std::move(max_in_flight),
          .keep_tasks = parts.keep_tasks});
  counters_.uncoded.resize(options_.core.models.size());
  counters_.use.resize(options_.core.models.size());
  performer_ = std::make_unique<ActionPerformer>(std::move(parts));
  return absl::OkStatus();
}

void Loop::Run(const core::Event& event) {
  // The core is never entered twice: actions only queue events.
  PARM_CHECK(!handling_);
  handling_ = true;
  for (const core::UnitChosen& chosen : units_.Update()) {
    core_->Handle(Clock::now(), chosen, *performer_);
  }
  core_->Handle(Clock::now(), event, *performer_);
  while (performer_->has_events()) {
    const core::Event next = performer_->TakeEvent();
    core_->Handle(Clock::now(), next, *performer_);
    if (const auto* compared = std::get_if<core::OutputsCompared>(&next)) {
      notices_.NoteGate(compared->model,
                        core_->counters().models[Raw(compared->model)]);
    }
  }
  handling_ = false;
  workers_.OnEjections(core_->counters().ejections);
  Flush();
}

// ---- Clients -------------------------------------------------------------

QueryHandle Loop::Infer(oip::InferRequest request, Done done) {
  const QueryHandle handle{++last_query_};
  // The promise of QueryService: `done` never runs inside this call.
  in_infer_ = true;
  const absl::Status admitted =
      Admit(handle, Clock::now(), std::move(request), done);
  if (!admitted.ok()) {
    pending_[Raw(handle)] = {.done = std::move(done)};
    replies_.emplace_back(handle, RefusalReply(admitted));
    PostFlush();
  }
  in_infer_ = false;
  return handle;
}

absl::Status Loop::Admit(QueryHandle handle, Time arrived,
                         oip::InferRequest request, Done& done) {
  PARM_ASSIGN_OR_RETURN(AdmittedQuery admitted,
                        admission_.Admit(std::move(request), arrived));
  if (!admitted.step.id.empty()) {
    return TakeStep(handle, arrived, std::move(admitted), done);
  }
  ValidQuery& query = admitted.query;
  core::QueryArrived event{.query = QueryId{Raw(handle)},
                           .model = admitted.about.model,
                           .deployed = admitted.about.bundle,
                           .signature = admitted.layout.signature,
                           .samples = static_cast<uint32_t>(query.inputs.rows),
                           .bytes = query.bytes,
                           .deadline = arrived + query.deadline,
                           .mode = query.mode,
                           .further_attempt = admitted.further_attempt,
                           .unit = admitted.unit};
  event.input = buffers_.Add(std::move(query.inputs));
  pending_[Raw(handle)] = {.done = std::move(done),
                           .about = std::move(admitted.about)};
  Run(event);
  return absl::OkStatus();
}

absl::Status Loop::TakeStep(QueryHandle handle, Time arrived,
                            AdmittedQuery admitted, Done& done) {
  if (draining_) {
    ++counters_.queries_draining;
    return absl::UnavailableError("parm-frontend: shutting down");
  }
  PendingQuery& pending = pending_[Raw(handle)];
  pending = {.done = std::move(done), .about = std::move(admitted.about)};
  const absl::Status taken =
      sequences_->Take({.query = QueryId{Raw(handle)},
                        .model = pending.about.model,
                        .step = std::move(admitted.step),
                        .inputs = std::move(admitted.query.inputs),
                        .deadline = arrived + admitted.query.deadline},
                       admitted.bundle->key, arrived);
  if (!taken.ok()) done = std::move(pending.done);
  Flush();
  return taken;
}

void Loop::Abandon(QueryHandle handle) {
  if (pending_.erase(Raw(handle)) == 0) return;
  if (sequences_->Abandon(QueryId{Raw(handle)})) return Flush();
  Run(core::QueryAbandoned{.query = QueryId{Raw(handle)}});
}

void Loop::OnAnswer(const core::AnswerQuery& answer) {
  const QueryHandle handle{Raw(answer.query)};
  const auto found = pending_.find(Raw(handle));
  if (found == pending_.end()) return;  // abandoned meanwhile
  if (in_infer_ && Raw(handle) == last_query_) {
    counters_.CountRejection(answer.error);
  }
  absl::StatusOr<QueryReply> reply = BuildReply(found->second.about, answer);
  if (!reply.ok()) {
    ++counters_.answers_misfit;
    reply = QueryReply{.status = reply.status()};
  }
  replies_.emplace_back(handle, *std::move(reply));
}

absl::StatusOr<QueryReply> Loop::BuildReply(const AnsweredQuery& about,
                                            const core::AnswerQuery& answer) {
  const core::ModelOptions& model = options_.core.models[Raw(about.model)];
  if (answer.source == core::AnswerSource::kError) {
    return ErrorReply(model, about, answer.error, error_texts_.Get(answer.task),
                      error_texts_.CodeOf(answer.task));
  }
  const CatalogBundle& bundle = catalog_.Get(about.bundle);
  if (answer.source == core::AnswerSource::kDefault) {
    return DefaultReply(model.name, about, bundle,
                        options_.default_answers[Raw(about.model)]);
  }
  counters_.use[Raw(about.model)].samples += static_cast<uint64_t>(about.rows);
  return OutputReply(model.name, about, bundle, answer,
                     buffers_.Get(answer.output));
}

void Loop::PostFlush() {
  if (flush_posted_) return;
  flush_posted_ = true;
  boost::asio::post(loop_, [this, alive = alive_] {
    if (!*alive) return;
    flush_posted_ = false;
    Flush();
  });
}

// Clients are called only here: outside the core, since what they do may come
// straight back as the next Infer or Abandon.
void Loop::Flush() {
  sequence_timer_.WakeAt(sequences_->next_wake());
  if (in_infer_) {
    if (!replies_.empty()) PostFlush();
    return;
  }
  while (!replies_.empty()) {
    auto [handle, reply] = std::move(replies_.front());
    replies_.pop_front();
    const auto found = pending_.find(Raw(handle));
    if (found == pending_.end()) continue;  // abandoned meanwhile
    const Done done = std::move(found->second.done);
    pending_.erase(found);
    done(std::move(reply));
  }
  if (draining_ && pending_.empty() && drained_ != nullptr) {
    boost::asio::post(loop_, std::exchange(drained_, nullptr));
  }
}

void Loop::Drain(std::function<void()> drained) {
  draining_ = true;
  drained_ = std::move(drained);
  Run(core::DrainRequested{});
}

// ---- Workers -------------------------------------------------------------

void Loop::OnHello(WorkerId worker, const wire::Hello& hello) {
  const Time now = Clock::now();
  if (workers_.OnHello(worker, hello, now)) {
    ledger_.DropWorker(worker);
    sequences_->OnLost(worker, now);
  }
  Run(catalog_.OnHello(worker, hello));
  if (workers_.Get(worker).draining) catalog_.SetTakesTasks(worker, false);
  counters_.defaults_misfit += notices_.CheckDefaults(catalog_);
  for (const core::WorkerUp& revised : catalog_.TakeRevised()) {
    // One that drains takes nothing anyway, and must not seem up again.
    if (!workers_.Get(revised.worker).draining) Run(revised);
  }
}

void Loop::OnLost(WorkerId worker) {
  workers_.OnLost(worker);
  Forget(worker);
  Run(core::WorkerDown{.worker = worker});
}

void Loop::OnLeft(WorkerId worker) {
  Forget(worker);
  Run(core::WorkerLeft{.worker = worker});
  workers_.Vacate(worker);  // the core's last words name it
}

void Loop::Forget(WorkerId worker) {
  ledger_.DropWorker(worker);
  catalog_.OnLost(worker);
  sequences_->OnLost(worker, Clock::now());
}

void Loop::OnHeartbeat(WorkerId worker, uint32_t queue_depth,
                       uint32_t in_flight) {
  const Time now = Clock::now();
  workers_.OnHeartbeat(worker, queue_depth, in_flight, now);
  ledger_.Expire(now);
  UpdateVoters(now);
  catalog_.SetTakesTasks(worker, !workers_.Get(worker).draining);
  sequences_->OnHeard(worker, now);
  Run(core::WorkerHeard{.worker = worker,
                        .has_depths = true,
                        .queue_depth = queue_depth,
                        .in_flight = in_flight});
}

// A silent worker has no say in what a model is served from. Looked at when
// another is heard: while all are silent it makes no difference.
void Loop::UpdateVoters(Time now) {
  if (now < next_voters_update_) return;
  next_voters_update_ = now + options_.core.heartbeat_timeout / 4;
  for (size_t i = 0; i < workers_.size(); ++i) {
    const WorkerId worker{static_cast<uint32_t>(i)};
    catalog_.SetTakesTasks(worker,
                           workers_.StateOf(worker, now) == WorkerState::kUp);
  }
}

void Loop::OnStarted(WorkerId worker, TaskId task) {
  workers_.OnHeard(worker, Clock::now());
  Run(core::TaskStarted{.task = task, .worker = worker});
}

void Loop::OnReply(WorkerId worker, WorkerReply reply) {
  workers_.OnHeard(worker, Clock::now());
  const TaskId task = reply.task;
  const auto event = checker_.Check(worker, std::move(reply));
  if (SequenceRouter::Owns(task)) {
    sequences_->OnReply(task, worker, event, Clock::now());
    return Flush();
  }
  if (event.has_value()) Run(*event);
}

// ---- What is known -------------------------------------------------------

std::string Loop::MetricsText() {
  std::string text =
      RenderMetrics({.models = ModelNames(),
                     .core = core_->counters(),
                     .sizes = core_->sizes(),
                     .upstream = upstream_->counters(),
                     .catalog = catalog_.counters(),
                     .units = units_.Specs(),
                     .performer = performer_->counters(),
                     .loop = counters_,
                     .workers = workers_.workers(),
                     .now = Clock::now(),
                     .heartbeat_timeout = options_.core.heartbeat_timeout,
                     .queries_waiting = pending_.size(),
                     .sequences_open = sequences_->size(),
                     .buffers = buffers_.size(),
                     .buffered_bytes = buffers_.bytes(),
                     .tasks_in_ledger = ledger_.size(),
                     .ready = Ready()});
  if (!options_.oip.servers.empty()) {
    text += RenderServerMetrics(servers_->counters());
  }
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<FrontendLoop>> FrontendLoop::Create(
    boost::asio::io_context& loop, FrontendOptions options,
    QueryCapture* capture) {
  auto frontend = std::make_unique<Loop>(loop, std::move(options), capture);
  PARM_RETURN_IF_ERROR(frontend->Start());
  return std::unique_ptr<FrontendLoop>(std::move(frontend));
}

}  // namespace parm
