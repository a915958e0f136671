#pragma once

// Builds Prometheus text out of plain counters, family by family. Used by the
// frontend's /metrics.

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/latency_histogram.h"
#include "prometheus/metric_family.h"

namespace parm {

/// Values go to the family named last. Families without values are left out.
class PrometheusText {
 public:
  using Labels =
      std::initializer_list<std::pair<absl::string_view, absl::string_view>>;

  PrometheusText& Counter(absl::string_view name, absl::string_view help);
  PrometheusText& Gauge(absl::string_view name, absl::string_view help);
  PrometheusText& Histogram(absl::string_view name, absl::string_view help);

  PrometheusText& Value(Labels labels, double value);
  PrometheusText& Value(Labels labels, uint64_t value) {
    return Value(labels, static_cast<double>(value));
  }
  /// Unit: `bounds_s` are seconds, ascending; +Inf is added.
  PrometheusText& Values(Labels labels, const LatencyHistogram& histogram,
                         absl::Span<const double> bounds_s);

  std::string Text() const;

 private:
  PrometheusText& Begin(absl::string_view name, absl::string_view help,
                        prometheus::MetricType type);
  prometheus::ClientMetric& Add(Labels labels);

  std::vector<prometheus::MetricFamily> families_;
};

}  // namespace parm
