#pragma once

// Keeps the counters of /metrics from going back when a new configuration takes
// over: what earlier frontend loops counted is added to the text of the one
// that serves.

#include <string>
#include <unordered_map>

#include "absl/strings/string_view.h"

namespace parm {

/// Sums of counters and histograms, by series. Gauges are not kept: only the
/// loop that serves knows how things stand.
/// Bounds: one entry per series ever added.
class CounterCarry {
 public:
  /// Adds what a loop counted. `text`: Prometheus' text exposition format.
  void Add(absl::string_view text);

  /// `text` with the sums added to its counters and histograms. A series that
  /// `text` does not have, such as one of a model that is no longer served,
  /// stays out.
  std::string ApplyTo(absl::string_view text) const;

 private:
  std::unordered_map<std::string, double> sums_;  // by "name{labels}"
};

}  // namespace parm
