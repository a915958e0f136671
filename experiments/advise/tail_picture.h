#pragma once

// The picture of parm-advise: how many queries took longer than x, both axes
// logarithmic, a panel for each load, as one SVG file without dependencies.

#include <string>
#include <vector>

#include "absl/types/span.h"

namespace parm::advise {

struct TailPoint {
  double latency_ms = 0;
  double share_above = 0;  // of the queries
};

struct TailCurve {
  std::string label;
  std::string colour;  // as SVG writes it
  bool dashed = false;
  std::vector<TailPoint> points;  // latency ascending
};

struct TailPanel {
  std::string title;
  std::vector<TailCurve> curves;
};

/// Needs: latencies above 0. Points with a share of 0 are left out; panels
/// share their axes; the legend is the first panel's.
std::string TailPictureSvg(absl::Span<const TailPanel> panels);

}  // namespace parm::advise
