#include "frontend/frontend_metrics.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "frontend/answer_builder.h"
#include "frontend/prometheus_text.h"

namespace parm {
namespace {

// Upper bounds, in seconds.
constexpr std::array kLatencyBounds = {0.001, 0.002, 0.005, 0.01, 0.02, 0.03,
                                       0.05,  0.075, 0.1,   0.15, 0.2,  0.3,
                                       0.5,   0.75,  1.0,   2.5,  5.0};
constexpr std::array kComputeBounds = {1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5,
                                       1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 2e-2};
constexpr std::array<absl::string_view, 4> kAttemptTypes = {"original", "retry",
                                                            "hedge", "parity"};
// By UncodedReason; the first is no reason.
constexpr std::array<absl::string_view, kNumUncodedReasons> kUncodedReasons = {
    "",           "no_batch_dimension", "several_tensors", "not_supported",
    "not_finite", "parameters"};
// By CaptureOutcome.
constexpr std::array<absl::string_view, kNumCaptureOutcomes> kCaptureOutcomes =
    {"taken",      "over_rate", "queue_full", "not_supported",
     "not_finite", "bound",     "failed"};
constexpr std::array<absl::string_view, 4> kWorkerStates = {"down", "silent",
                                                            "draining", "up"};

// Calls `row(model name, its counters)` for every model.
template <typename Row>
void ForEachModel(const MetricsInput& in, Row row) {
  for (size_t i = 0; i < in.models.size() && i < in.core.models.size(); ++i) {
    row(in.models[i], in.core.models[i]);
  }
}

void AddCounter(const MetricsInput& in, absl::string_view name,
                absl::string_view help, uint64_t core::ModelCounters::* field,
                PrometheusText& out) {
  out.Counter(name, help);
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    out.Value({{"model", model}}, counters.*field);
  });
}

void AddQueries(const MetricsInput& in, PrometheusText& out) {
  out.Counter("parm_queries_total", "Queries answered, by answer source.");
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    for (size_t i = 0; i < core::kNumSources; ++i) {
      const auto source = SourceName(static_cast<core::AnswerSource>(i));
      out.Value({{"model", model}, {"source", source}}, counters.answers[i]);
    }
  });
  out.Histogram("parm_query_latency_seconds",
                "From arrival to answer, by answer source.");
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    for (size_t i = 0; i < core::kNumSources; ++i) {
      if (counters.latency[i].count() == 0) continue;
      const auto source = SourceName(static_cast<core::AnswerSource>(i));
      out.Values({{"model", model}, {"source", source}}, counters.latency[i],
                 kLatencyBounds);
    }
  });
  out.Histogram("parm_dispatch_delay_seconds",
                "From a query's arrival to its first dispatch.");
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    out.Values({{"model", model}}, counters.dispatch_delay, kLatencyBounds);
  });
  AddCounter(in, "parm_queries_abandoned_total", "Clients that went away.",
             &core::ModelCounters::abandoned, out);
  out.Counter("parm_queries_rejected_total",
              "Queries answered with an error at admission.")
      .Value({{"reason", "invalid"}}, in.loop.queries_invalid)
      .Value({{"reason", "too_large"}}, in.loop.queries_too_large)
      .Value({{"reason", "not_found"}}, in.loop.queries_not_found)
      .Value({{"reason", "no_worker"}}, in.loop.queries_without_worker)
      .Value({{"reason", "draining"}}, in.loop.queries_draining)
      .Value({{"reason", "expired"}}, in.loop.queries_expired)
      .Value({{"reason", "max_queries"}}, in.core.shed_queries)
      .Value({{"reason", "max_buffered_bytes"}},
             in.core.shed_bytes + in.loop.queries_over_memory);
  out.Gauge("parm_queries_in_flight", "Queries that wait for their answer.")
      .Value({}, in.queries_waiting);
  AddCounter(in, "parm_further_attempts_total",
             "Queries that were sent before: they got no extra work.",
             &core::ModelCounters::further_attempts, out);
  AddCounter(in, "parm_late_originals_total",
             "Queries whose exact answer came after the trigger, or never.",
             &core::ModelCounters::late_originals, out);
}

void AddSequences(const MetricsInput& in, PrometheusText& out) {
  const SequenceCounters& counters = in.loop.sequences;
  out.Gauge("parm_sequences_open", "Sequences that are known.")
      .Value({}, in.sequences_open);
  out.Counter("parm_sequences_total", "Sequences, by what became of them.")
      .Value({{"event", "started"}}, counters.started)
      .Value({{"event", "ended"}}, counters.ended)
      .Value({{"event", "forgotten"}}, counters.forgotten)
      .Value({{"event", "failed"}}, counters.failed);
  out.Counter("parm_sequence_requests_total",
              "Requests of sequences, which the core knows nothing of.")
      .Value({{"outcome", "answered"}}, counters.requests_answered)
      .Value({{"outcome", "failed"}}, counters.requests_failed)
      .Value({{"outcome", "refused"}}, counters.requests_refused);
}

void AddCoding(const MetricsInput& in, PrometheusText& out) {
  out.Counter("parm_queries_uncoded_total",
              "Queries of coded models that no code protects, by reason.");
  for (size_t i = 0; i < in.models.size() && i < in.loop.uncoded.size(); ++i) {
    for (size_t j = 1; j < kUncodedReasons.size(); ++j) {
      out.Value({{"model", in.models[i]}, {"reason", kUncodedReasons[j]}},
                in.loop.uncoded[i][j]);
    }
  }
  out.Gauge("parm_redundancy_unit", "The code that queries come with now.");
  for (size_t i = 0; i < in.units.size(); ++i) {
    if (in.units[i] == nullptr) continue;
    const CodeSpec& unit = *in.units[i];
    out.Value({{"model", in.models[i]},
               {"scheme", unit.scheme},
               {"k", absl::StrCat(unit.k)},
               {"r", absl::StrCat(unit.r)}},
              uint64_t{1});
  }
  const auto outcome = [&](const std::string& model, absl::string_view name,
                           uint64_t count) {
    out.Value({{"model", model}, {"outcome", name}}, count);
  };
  out.Counter("parm_groups_total", "Coding groups, by outcome.");
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    outcome(model, "full", counters.groups_closed_full);
    outcome(model, "short", counters.groups_closed_short);
    outcome(model, "unprotected", counters.groups_unprotected);
    outcome(model, "unplaced", counters.groups_parity_unplaced);
    outcome(model, "encode_failed", counters.encode_failures);
  });
  out.Counter("parm_decodes_total", "Decodes, by outcome.");
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    outcome(model, "made", counters.decodes);
    outcome(model, "failed", counters.decode_failures);
    outcome(model, "held", counters.decodes_held);
    outcome(model, "unused", counters.decodes_unused);
  });
  AddCounter(in, "parm_observed_reconstructions_total",
             "Answers that mode observe would have reconstructed.",
             &core::ModelCounters::observed_reconstructions, out);
  AddCounter(in, "parm_quality_compared_total",
             "Samples of decodes compared with their late original.",
             &core::ModelCounters::quality_compared, out);
  AddCounter(in, "parm_quality_agreed_total",
             "Of those, samples with the same top class.",
             &core::ModelCounters::quality_agreed, out);
  out.Gauge("parm_agreement",
            "Share of late originals that agree with the decode, of late.");
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    if (counters.agreement) out.Value({{"model", model}}, *counters.agreement);
  });
  out.Counter("parm_reconstruction_gate_total",
              "Reconstructions of a model stopped for lack of agreement, and "
              "came back.");
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    out.Value({{"model", model}, {"event", "closed"}}, counters.gate_closed);
    out.Value({{"model", model}, {"event", "opened"}}, counters.gate_opened);
  });
  AddCounter(in, "parm_undecodable_replies_total",
             "Replies that no decode may use.",
             &core::ModelCounters::undecodable_replies, out);
  out.Histogram("parm_encode_seconds", "Time to encode one parity query.")
      .Values({}, in.performer.encode_time, kComputeBounds);
  out.Histogram("parm_decode_seconds", "Time to decode one output.")
      .Values({}, in.performer.decode_time, kComputeBounds);
  out.Counter("parm_bundles_refused_total", "Bundles refused, by reason.")
      .Value({{"reason", "lineage"}}, in.catalog.refused_lineage)
      .Value({{"reason", "code"}}, in.catalog.refused_code)
      .Value({{"reason", "calibration"}}, in.catalog.refused_calibration)
      .Value({{"reason", "shape"}}, in.catalog.refused_shape)
      .Value({{"reason", "limit"}}, in.catalog.refused_limit);
  out.Counter("parm_not_finite_total", "Tensors with a NaN or an infinity.")
      .Value({{"where", "input"}}, in.loop.inputs_not_finite)
      .Value({{"where", "output"}}, in.loop.outputs_not_finite);
}

void AddHedging(const MetricsInput& in, PrometheusText& out) {
  const auto counter = [&](absl::string_view name, absl::string_view help,
                           uint64_t core::HedgeCounters::* field) {
    out.Counter(name, help);
    ForEachModel(in, [&](const std::string& model, const auto& counters) {
      out.Value({{"model", model}}, counters.hedge.*field);
    });
  };
  out.Counter("parm_hedged_requests_total", "Second copies sent.");
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    out.Value({{"model", model}},
              counters.tasks[static_cast<size_t>(core::AttemptType::kHedge)]);
  });
  counter("parm_hedges_won_total", "Batches that a second copy answered.",
          &core::HedgeCounters::won);
  counter("parm_hedges_failed_total", "Second copies without an answer.",
          &core::HedgeCounters::failed);
  counter("parm_hedge_budget_exhausted_total",
          "Hedges that were due but had no budget.",
          &core::HedgeCounters::budget_exhausted);
  counter("parm_hedges_insufficient_workers_total",
          "Second copies that no other worker had a slot for.",
          &core::HedgeCounters::insufficient_workers);
  counter("parm_hedges_braked_total",
          "Hedges that were due while most queries were late.",
          &core::HedgeCounters::braked);
  counter("parm_hedges_observed_total",
          "Hedges that mode observe would have sent.",
          &core::HedgeCounters::observed);
  counter("parm_losers_cancelled_total",
          "Copies withdrawn because another one had begun.",
          &core::HedgeCounters::losers_cancelled);
  counter("parm_replicas_total",
          "Second copies of queries that had no siblings to be coded with.",
          &core::HedgeCounters::replicas);
  out.Counter("parm_redundancy_shed_total",
              "Parity queries of groups and copies of queries without siblings "
              "that were left out, by reason.");
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    out.Value({{"model", model}, {"reason", "load"}},
              counters.hedge.shed_for_load);
    out.Value({{"model", model}, {"reason", "budget"}},
              counters.hedge.shed_for_budget);
    out.Value({{"model", model}, {"reason", "concurrency"}},
              counters.hedge.shed_for_concurrency);
  });
  out.Gauge("parm_load", "Share of the lanes with ordinary work, averaged.");
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    out.Value({{"model", model}}, counters.hedge.load);
  });
  out.Gauge("parm_straggler_share",
            "Share of the copies that ran for more than twice the median.");
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    out.Value({{"model", model}}, counters.hedge.straggler_share);
  });
  out.Histogram("parm_hedge_delay_seconds",
                "From the first dispatch to the hedge.");
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    out.Values({{"model", model}}, counters.hedge.delay, kLatencyBounds);
  });
  out.Counter("parm_service_seconds_total",
              "Estimated service time of what was dispatched under policies "
              "hedge, replicate and hybrid.");
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    out.Value({{"model", model}, {"work", "ordinary"}},
              ToSeconds(counters.hedge.ordinary_service));
    out.Value({{"model", model}, {"work", "extra"}},
              ToSeconds(counters.hedge.extra_service));
  });
}

void AddTasks(const MetricsInput& in, PrometheusText& out) {
  out.Counter("parm_tasks_total", "Tasks sent to workers.");
  ForEachModel(in, [&](const std::string& model, const auto& counters) {
    for (size_t i = 0; i < counters.tasks.size(); ++i) {
      out.Value({{"model", model}, {"attempt_type", kAttemptTypes[i]}},
                counters.tasks[i]);
    }
  });
  out.Counter("parm_tasks_cancelled_total", "Tasks withdrawn.")
      .Value({}, in.core.tasks_cancelled);
  out.Counter("parm_tasks_redispatched_total",
              "Tasks of lost connections sent elsewhere.")
      .Value({}, in.core.tasks_redispatched);
  out.Counter("parm_replies_rejected_total", "Replies not used, by reason.")
      .Value({{"reason", "unknown_task"}},
             in.core.unknown_replies + in.loop.replies_unknown)
      .Value({{"reason", "not_the_models"}}, in.loop.replies_wrong)
      .Value({{"reason", "exit_stage"}}, in.loop.replies_early);
  out.Counter("parm_answers_misfit_total",
              "Answers or defaults that did not fit their query.")
      .Value({}, in.loop.answers_misfit);
  out.Counter("parm_defaults_misfit_total",
              "Bundles that the configured default answer does not fit.")
      .Value({}, in.loop.defaults_misfit);
  out.Counter("parm_batch_join_failures_total",
              "Batches whose inputs did not fit together.")
      .Value({}, in.performer.join_failures);
  out.Counter("parm_layouts_forgotten_total",
              "Input layouts forgotten: more were in use than are remembered.")
      .Value({}, in.catalog.layouts_forgotten);
  out.Gauge("parm_table_entries", "Entries alive, by table.")
      .Value({{"table", "queries"}}, in.sizes.queries)
      .Value({{"table", "batches"}}, in.sizes.batches)
      .Value({{"table", "tasks"}}, in.sizes.tasks)
      .Value({{"table", "groups"}}, in.sizes.groups)
      .Value({{"table", "open_groups"}}, in.sizes.open_groups)
      .Value({{"table", "timers"}}, in.sizes.timers)
      .Value({{"table", "buffers"}}, in.buffers)
      .Value({{"table", "task_ledger"}}, in.tasks_in_ledger);
  out.Gauge("parm_buffered_bytes",
            "Bytes of inputs, outputs, parity queries and decodes held.")
      .Value({}, in.buffered_bytes);
  out.Gauge("parm_in_flight", "Tasks sent and not answered.")
      .Value({}, in.sizes.tasks);
}

void AddWorkers(const MetricsInput& in, PrometheusText& out) {
  out.Gauge("parm_worker_state", "1 for the state that the worker is in.");
  for (const WorkerStatus& worker : in.workers) {
    if (worker.endpoint.empty()) continue;
    const auto now =
        static_cast<size_t>(worker.state(in.now, in.heartbeat_timeout));
    for (size_t i = 0; i < kWorkerStates.size(); ++i) {
      out.Value({{"worker", worker.endpoint}, {"state", kWorkerStates[i]}},
                i == now ? 1.0 : 0.0);
    }
  }
  out.Gauge("parm_worker_in_flight", "As the worker's last heartbeat said.");
  for (const WorkerStatus& worker : in.workers) {
    if (worker.endpoint.empty()) continue;
    out.Value({{"worker", worker.endpoint}}, uint64_t{worker.in_flight});
  }
  out.Gauge("parm_worker_queue_depth", "As the worker's last heartbeat said.");
  for (const WorkerStatus& worker : in.workers) {
    if (worker.endpoint.empty()) continue;
    out.Value({{"worker", worker.endpoint}}, uint64_t{worker.queue_depth});
  }
  out.Counter("parm_worker_events_total", "What befell workers.")
      .Value({{"event", "lost"}}, in.core.workers_lost)
      .Value({{"event", "silent"}}, in.core.workers_silent)
      .Value({{"event", "restarted"}}, in.core.workers_restarted)
      .Value({{"event", "probed"}}, in.core.probes);
  const core::EjectionCounters& ejections = in.core.ejections;
  out.Counter("parm_worker_ejections_total",
              "Workers that got no tasks for a while, by cause.");
  for (size_t i = 0; i < ejections.enforced.size(); ++i) {
    out.Value({{"cause", NameOf(static_cast<core::EjectionCause>(i))}},
              ejections.enforced[i]);
  }
  out.Counter("parm_worker_ejections_withheld_total",
              "Workers that were to be ejected and were not, by reason.")
      .Value({{"reason", "overflow"}}, ejections.overflow)
      .Value({{"reason", "common_mode"}}, ejections.braked);
  out.Counter("parm_worker_readmissions_total",
              "Ejected workers that take tasks again.")
      .Value({}, ejections.readmitted);
  out.Gauge("parm_workers_ejected", "Workers that get no tasks now.")
      .Value({}, ejections.ejected_now);
  const UpstreamCounters& up = in.upstream;
  out.Counter("parm_frames_rejected_total",
              "Messages of workers that were dropped, by reason.")
      .Value({{"reason", "malformed"}}, up.frames_malformed)
      .Value({{"reason", "unexpected"}}, up.frames_unexpected)
      .Value({{"reason", "stale"}}, up.frames_stale)
      .Value({{"reason", "unknown_instance"}}, up.unknown_instances);
  out.Counter("parm_upstream_messages_total", "Messages to and from workers.")
      .Value({{"direction", "sent"}}, up.messages_sent)
      .Value({{"direction", "received"}}, up.messages_received);
  out.Counter("parm_upstream_sends_refused_total",
              "Tasks without a connection or with too large a tensor, and "
              "messages of any kind that a full "
              "queue or a broken connection did not take.")
      .Value({}, up.sends_refused);
  out.Counter("parm_upstream_connections_total", "Connections to workers.")
      .Value({{"event", "hello"}}, up.hellos)
      .Value({{"event", "hello_refused"}}, up.hellos_refused)
      .Value({{"event", "handshake_failed"}}, up.handshakes_failed)
      .Value({{"event", "lost"}}, up.connections_lost)
      .Value({{"event", "reconnect"}}, up.reconnects);
  out.Gauge("parm_ready", "1 if every model has a live worker.")
      .Value({}, in.ready ? 1.0 : 0.0);
}

}  // namespace

std::string RenderMetrics(const MetricsInput& input) {
  PrometheusText out;
  AddQueries(input, out);
  AddSequences(input, out);
  AddCoding(input, out);
  AddHedging(input, out);
  AddTasks(input, out);
  AddWorkers(input, out);
  return out.Text();
}

std::string RenderServerMetrics(const OipCounters& counters) {
  PrometheusText out;
  const ConnectionCounters& connections = counters.connections;
  out.Counter("parm_server_exchanges_total",
              "Requests to model servers, health included, by their end.");
  constexpr absl::string_view kEnds[kNumExchangeEnds] = {
      "replied",   "not_connected", "broken", "malformed",
      "too_large", "timed_out",     "dropped"};
  for (size_t i = 0; i < kNumExchangeEnds; ++i) {
    out.Value({{"end", kEnds[i]}}, connections.exchanges[i]);
  }
  out.Counter("parm_server_connections_total", "Connections to model servers.")
      .Value({{"event", "opened"}}, connections.opened)
      .Value({{"event", "reused"}}, connections.reused)
      .Value({{"event", "resent"}}, connections.resent)
      .Value({{"event", "closed_idle"}}, connections.closed_idle)
      .Value({{"event", "all_busy"}}, connections.refused_full);
  out.Counter("parm_server_dropped_replies_total",
              "Replies that nobody wanted any more.")
      .Value({{"how", "drained"}}, connections.drained)
      .Value({{"how", "cut"}}, connections.cut)
      .Value({{"how", "withdrawn"}}, connections.withdrawn);
  out.Counter("parm_server_replies_total",
              "Replies of model servers to tasks, by outcome.")
      .Value({{"outcome", "ok"}}, counters.replies.ok)
      .Value({{"outcome", "refused"}}, counters.replies.refused)
      .Value({{"outcome", "failed"}}, counters.replies.failed)
      .Value({{"outcome", "malformed"}}, counters.replies.malformed);
  out.Counter(
         "parm_server_other_version_total",
         "Replies of another model version than the server's metadata had; "
         "no decode uses them.")
      .Value({}, counters.replies.other_version);
  out.Counter("parm_server_events_total", "What befell model servers.")
      .Value({{"event", "hello"}}, counters.hellos)
      .Value({{"event", "hello_refused"}}, counters.hellos_refused)
      .Value({{"event", "lost"}}, counters.lost)
      .Value({{"event", "not_ready"}}, counters.not_ready);
  out.Counter("parm_server_sends_refused_total",
              "Tasks that were not sent: the server away, or all connections "
              "busy, or no way to say it.")
      .Value({}, counters.sends_refused);
  out.Counter("parm_server_lineage_checks_total",
              "Models whose answers to the bundle's probes were looked at.")
      .Value({{"result", "passed"}}, counters.probes_passed)
      .Value({{"result", "failed"}}, counters.probes_failed);
  out.Counter("parm_server_bundle_checks_total",
              "Servers whose models were held against their bundles' probes "
              "again, by result.")
      .Value({{"result", "same"}}, counters.bundle_checks.same)
      .Value({{"result", "changed"}}, counters.bundle_checks.changed)
      .Value({{"result", "unanswered"}}, counters.bundle_checks.unanswered);
  out.Counter("parm_server_set_changes_total",
              "Model servers that came and went while serving; sets that had "
              "more than max_servers.")
      .Value({{"event", "joined"}}, counters.servers_joined)
      .Value({{"event", "left"}}, counters.servers_left)
      .Value({{"event", "over_limit"}}, counters.sets_over_limit);
  out.Counter("parm_server_names_resolved_total",
              "Resolutions of model servers' names, by outcome.")
      .Value({{"outcome", "changed"}}, counters.names_changed)
      .Value({{"outcome", "unchanged"}}, counters.names_unchanged)
      .Value({{"outcome", "failed"}}, counters.names_failed);
  out.Counter("parm_endpoints_files_total",
              "Files of endpoints read anew, by outcome.")
      .Value({{"outcome", "applied"}}, counters.endpoints_files_applied)
      .Value({{"outcome", "refused"}}, counters.endpoints_files_refused);
  return out.Text();
}

std::string RenderCaptureMetrics(const std::vector<CaptureCounters>& captures) {
  PrometheusText out;
  out.Counter("parm_capture_queries_total",
              "Queries of the sample that is captured, by outcome.");
  for (const CaptureCounters& capture : captures) {
    for (size_t i = 0; i < kNumCaptureOutcomes; ++i) {
      out.Value({{"model", capture.model}, {"outcome", kCaptureOutcomes[i]}},
                capture.outcomes[i]);
    }
  }
  out.Gauge("parm_capture_rows", "Rows in the capture directory.");
  for (const CaptureCounters& capture : captures) {
    out.Value({{"model", capture.model}}, capture.written.rows);
  }
  out.Gauge("parm_capture_bytes", "Bytes of their tensors.");
  for (const CaptureCounters& capture : captures) {
    out.Value({{"model", capture.model}}, capture.written.bytes);
  }
  out.Counter("parm_capture_write_failures_total",
              "1 if a write failed, which ended the capture.");
  for (const CaptureCounters& capture : captures) {
    out.Value({{"model", capture.model}}, capture.written.failures);
  }
  out.Counter("parm_capture_rows_lost_total",
              "Rows taken that the failed disk did not take.");
  for (const CaptureCounters& capture : captures) {
    out.Value({{"model", capture.model}}, capture.written.rows_lost);
  }
  return out.Text();
}

std::string RenderReloadMetrics(const ReloadCounters& counters,
                                uint64_t generation) {
  PrometheusText out;
  out.Counter("parm_config_reloads_total",
              "Times that the configuration was read anew, by outcome.")
      .Value({{"outcome", "applied"}}, counters.applied)
      .Value({{"outcome", "refused"}}, counters.refused)
      .Value({{"outcome", "not_ready"}}, counters.not_ready);
  out.Gauge("parm_config_generation",
            "The configuration in force: 1 is the one of the start.")
      .Value({}, generation);
  return out.Text();
}

}  // namespace parm
