#pragma once

// GET / on the metrics port: how the frontend is doing, for people with a
// browser and no Prometheus. Made of what /metrics says, so that the two never
// differ. Plain HTML that loads itself anew; no script.

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/time.h"

namespace parm {

/// The samples of a text in Prometheus' exposition format.
class MetricSamples {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;

  /// Lines that cannot be read are left out.
  explicit MetricSamples(absl::string_view text);

  /// The sum over all series of `name` that have these labels; 0 if none has.
  double Sum(const std::string& name, const Labels& labels = {}) const;

  /// What stands in `label` of `name`'s series that have these labels, each
  /// once, in their order.
  std::vector<std::string> ValuesOf(const std::string& name,
                                    const std::string& label,
                                    const Labels& labels = {}) const;

 private:
  struct Series {
    std::map<std::string, std::string> labels;
    double value = 0;

    bool Has(const Labels& wanted) const;
  };

  std::map<std::string, std::vector<Series>> by_name_;
};

/// Threads: one.
/// Bounds:  keeps the texts of the last kWindow, one a second at most.
class StatusPage {
 public:
  static constexpr Duration kWindow = Milliseconds(60'000);

  /// The page for what /metrics says at `now`. Rates and latencies are of the
  /// time since the earliest call within kWindow; of all time if there is none.
  std::string Render(absl::string_view metrics, Time now);

 private:
  std::deque<std::pair<Time, MetricSamples>> earlier_;
};

}  // namespace parm
