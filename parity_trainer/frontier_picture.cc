#include "parity_trainer/frontier_picture.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace parm {
namespace {

constexpr double kWidth = 760;
constexpr double kHeight = 440;
constexpr double kLeft = 64;
constexpr double kRight = 24;
constexpr double kTop = 24;
constexpr double kBottom = 52;
constexpr int kTicks = 5;

/// Where values lie in the picture.
struct Axes {
  double greatest_time = 1;
  double least_accuracy = 0;
  double greatest_accuracy = 1;

  double X(double time) const {
    return kLeft + (kWidth - kLeft - kRight) * time / greatest_time;
  }
  double Y(double accuracy) const {
    return kTop + (kHeight - kTop - kBottom) * (greatest_accuracy - accuracy) /
                      (greatest_accuracy - least_accuracy);
  }
};

Axes AxesFor(absl::Span<const FrontierPoint> points, double deployed_accuracy) {
  Axes axes = {.greatest_time = 0, .least_accuracy = deployed_accuracy};
  double best = deployed_accuracy;
  for (const FrontierPoint& point : points) {
    axes.greatest_time =
        std::max(axes.greatest_time, point.extra_time_per_query);
    axes.least_accuracy = std::min(axes.least_accuracy, point.accuracy);
    best = std::max(best, point.accuracy);
  }
  axes.greatest_time = std::max(1.15 * axes.greatest_time, 1e-3);
  const double room = std::max(0.08 * (best - axes.least_accuracy), 0.002);
  axes.least_accuracy -= room;
  axes.greatest_accuracy = best + room;
  return axes;
}

std::string Text(double x, double y, const char* anchor,
                 const std::string& text) {
  return absl::StrFormat(
      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y,
      anchor, text);
}

std::string DrawGrid(const Axes& axes) {
  std::string svg;
  for (int tick = 0; tick <= kTicks; ++tick) {
    const double part = static_cast<double>(tick) / kTicks;
    const double time = part * axes.greatest_time;
    const double accuracy =
        axes.least_accuracy +
        part * (axes.greatest_accuracy - axes.least_accuracy);
    absl::StrAppendFormat(&svg,
                          "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#ddd\"/>\n",
                          kLeft, axes.Y(accuracy), kWidth - kRight);
    svg += Text(kLeft - 6, axes.Y(accuracy) + 4, "end",
                absl::StrFormat("%.1f", 100 * accuracy));
    svg += Text(axes.X(time), kHeight - kBottom + 18, "middle",
                absl::StrFormat("%.2f", time));
  }
  svg += Text((kLeft + kWidth) / 2, kHeight - 10, "middle",
              "extra server time per query, in service times");
  svg += Text(kLeft, kTop - 8, "start", "accuracy of lost answers, %");
  return svg;
}

}  // namespace

std::string DrawFrontier(absl::Span<const FrontierPoint> points,
                         double deployed_accuracy) {
  PARM_CHECK(!points.empty());
  const Axes axes = AxesFor(points, deployed_accuracy);
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      kWidth, kHeight);
  svg += DrawGrid(axes);
  absl::StrAppendFormat(&svg,
                        "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#555\" "
                        "stroke-dasharray=\"5 4\"/>\n",
                        kLeft, axes.Y(deployed_accuracy), kWidth - kRight);
  for (const FrontierPoint& point : points) {
    const double x = axes.X(point.extra_time_per_query);
    const double y = axes.Y(point.accuracy);
    absl::StrAppendFormat(
        &svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\" fill=\"%s\"/>\n", x, y,
        point.exact ? "#555" : "#0a6ebd");
    svg += Text(x + 7, y + 4, "start", point.label);
  }
  return svg + "</svg>\n";
}

}  // namespace parm
