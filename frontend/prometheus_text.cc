#include "frontend/prometheus_text.h"

#include <limits>

#include "prometheus/text_serializer.h"

namespace parm {

using prometheus::MetricType;

PrometheusText& PrometheusText::Counter(absl::string_view name,
                                        absl::string_view help) {
  return Begin(name, help, MetricType::Counter);
}

PrometheusText& PrometheusText::Gauge(absl::string_view name,
                                      absl::string_view help) {
  return Begin(name, help, MetricType::Gauge);
}

PrometheusText& PrometheusText::Histogram(absl::string_view name,
                                          absl::string_view help) {
  return Begin(name, help, MetricType::Histogram);
}

PrometheusText& PrometheusText::Value(Labels labels, double value) {
  prometheus::ClientMetric& metric = Add(labels);
  // The family's type says which of them is written.
  metric.counter.value = value;
  metric.gauge.value = value;
  return *this;
}

PrometheusText& PrometheusText::Values(Labels labels,
                                       const LatencyHistogram& histogram,
                                       absl::Span<const double> bounds_s) {
  auto& out = Add(labels).histogram;
  out.sample_count = static_cast<uint64_t>(histogram.count());
  out.sample_sum = ToSeconds(histogram.sum());
  for (const double bound : bounds_s) {
    const int64_t count = histogram.CountAtOrBelow(FromSeconds(bound));
    out.bucket.push_back({static_cast<uint64_t>(count), bound});
  }
  out.bucket.push_back(
      {out.sample_count, std::numeric_limits<double>::infinity()});
  return *this;
}

std::string PrometheusText::Text() const {
  std::vector<prometheus::MetricFamily> filled;
  for (const prometheus::MetricFamily& family : families_) {
    if (!family.metric.empty()) filled.push_back(family);
  }
  return prometheus::TextSerializer().Serialize(filled);
}

PrometheusText& PrometheusText::Begin(absl::string_view name,
                                      absl::string_view help, MetricType type) {
  prometheus::MetricFamily family;
  family.name = std::string(name);
  family.help = std::string(help);
  family.type = type;
  families_.push_back(std::move(family));
  return *this;
}

prometheus::ClientMetric& PrometheusText::Add(Labels labels) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : labels) {
    metric.label.push_back({std::string(name), std::string(value)});
  }
  families_.back().metric.push_back(std::move(metric));
  return families_.back().metric.back();
}

}  // namespace parm
