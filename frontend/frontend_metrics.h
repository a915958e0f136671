#pragma once

// Everything counted, as Prometheus text: the counters of the core, the loop,
// the catalog and the transport are plain fields, copied out here when
// /metrics is asked for. frontend/README.md lists the names.

#include <string>
#include <vector>

#include "base/time.h"
#include "frontend/action_performer.h"
#include "frontend/core/core_counters.h"
#include "frontend/loop_counters.h"
#include "frontend/model_catalog.h"
#include "frontend/query_capture.h"
#include "frontend/reload_counters.h"
#include "frontend/upstream/oip/oip_server.h"
#include "frontend/upstream/zmq_upstream.h"
#include "frontend/worker_board.h"

namespace parm {

/// Views, good during the call.
struct MetricsInput {
  const std::vector<std::string>& models;  // by ModelId
  const core::CoreCounters& core;
  const core::CoreSizes& sizes;
  const UpstreamCounters& upstream;
  const CatalogCounters& catalog;
  std::vector<const CodeSpec*> units = {};  // by ModelId; null: not coded
  const PerformerCounters& performer;
  const LoopCounters& loop;
  const std::vector<WorkerStatus>& workers;  // by WorkerId
  Time now{};
  Duration heartbeat_timeout{0};
  size_t queries_waiting = 0;
  size_t sequences_open = 0;
  size_t buffers = 0;
  uint64_t buffered_bytes = 0;
  size_t tasks_in_ledger = 0;
  bool ready = false;
};

/// The text exposition format, version 0.0.4.
std::string RenderMetrics(const MetricsInput& input);

/// What the captures count, as further text.
std::string RenderCaptureMetrics(const std::vector<CaptureCounters>& captures);

/// What the upstream to model servers counts, as further text.
std::string RenderServerMetrics(const OipCounters& counters);

/// Which configuration is in force, as further text. `generation`: 1 for the
/// one that was read at the start.
std::string RenderReloadMetrics(const ReloadCounters& counters,
                                uint64_t generation);

}  // namespace parm
