#include "frontend/model_statistics.h"

#include <algorithm>

namespace parm {
namespace {

oip::DurationTotal TotalOf(const LatencyHistogram& histogram) {
  return {.count = static_cast<uint64_t>(histogram.count()),
          .ns = static_cast<uint64_t>(histogram.sum().count())};
}

void Add(const oip::ModelStatistics& from, oip::ModelStatistics* to) {
  to->last_inference_ms =
      std::max(to->last_inference_ms, from.last_inference_ms);
  to->inferences += from.inferences;
  to->executions += from.executions;
  to->success += from.success;
  to->fail += from.fail;
  to->queue += from.queue;
}

}  // namespace

oip::ModelStatistics StatisticsOf(const core::ModelCounters& core,
                                  const ModelUse& use) {
  oip::ModelStatistics out;
  for (size_t i = 0; i < core.latency.size(); ++i) {
    const bool failed = i == static_cast<size_t>(core::AnswerSource::kError);
    (failed ? out.fail : out.success) += TotalOf(core.latency[i]);
  }
  out.success += use.steps_answered;
  out.fail += use.steps_failed;
  out.queue = TotalOf(core.dispatch_delay);
  out.inferences = use.samples;
  out.executions = use.executions;
  out.last_inference_ms = use.last_query_ms;
  return out;
}

void AddEarlier(absl::Span<const oip::ModelStatistics> earlier,
                std::vector<oip::ModelStatistics>* models) {
  for (oip::ModelStatistics& model : *models) {
    for (const oip::ModelStatistics& before : earlier) {
      if (before.name == model.name) Add(before, &model);
    }
  }
}

void CarryOn(absl::Span<const oip::ModelStatistics> ended,
             std::vector<oip::ModelStatistics>* carried) {
  for (const oip::ModelStatistics& model : ended) {
    const auto known = std::find_if(
        carried->begin(), carried->end(),
        [&](const auto& before) { return before.name == model.name; });
    if (known == carried->end()) {
      carried->push_back(model);
    } else {
      Add(model, &*known);
    }
  }
}

}  // namespace parm
