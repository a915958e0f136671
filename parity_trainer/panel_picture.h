#pragma once

// Curves as a picture: panels side by side, each with axes of its own. What
// `evaluate` and every training draw with.

#include <string>
#include <vector>

#include "absl/types/span.h"

namespace parm {

struct CurvePoint {
  double x = 0;
  double y = 0;
};

struct Curve {
  std::string label;
  std::vector<CurvePoint> points;
  bool dashed = false;  // what is compared with
};

struct Panel {
  std::string x_label;
  std::string y_label;
  std::vector<Curve> curves;
};

/// An SVG. Points that are not finite are left out; a panel without any says
/// so.
std::string DrawPanels(absl::Span<const Panel> panels);

}  // namespace parm
