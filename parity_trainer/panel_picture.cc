#include "parity_trainer/panel_picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace parm {
namespace {

constexpr double kWidth = 460;  // of a panel
constexpr double kHeight = 360;
constexpr double kLeft = 60;
constexpr double kRight = 20;
constexpr double kTop = 32;
constexpr double kBottom = 48;
constexpr int kTicks = 5;
constexpr std::array<const char*, 4> kColours = {"#0a6ebd", "#c2410c",
                                                 "#15803d", "#7e22ce"};

bool IsFinite(const CurvePoint& point) {
  return std::isfinite(point.x) && std::isfinite(point.y);
}

struct Range {
  double least = std::numeric_limits<double>::infinity();
  double greatest = -std::numeric_limits<double>::infinity();

  void Cover(double value) {
    least = std::min(least, value);
    greatest = std::max(greatest, value);
  }
  /// Never of no width, so that it can be divided by.
  void Widen() {
    const double room = std::max(0.04 * (greatest - least), 1e-6);
    least -= room;
    greatest += room;
  }
  double Part(double value) const {
    return (value - least) / (greatest - least);
  }
  double At(double part) const { return least + part * (greatest - least); }
};

/// Where values lie in the picture.
struct Axes {
  double left = 0;  // of the panel
  Range x;
  Range y;

  double X(double value) const {
    return left + kLeft + (kWidth - kLeft - kRight) * x.Part(value);
  }
  double Y(double value) const {
    return kTop + (kHeight - kTop - kBottom) * (1 - y.Part(value));
  }
};

std::string Text(double x, double y, const char* anchor,
                 const std::string& text, const char* colour = "#222") {
  return absl::StrFormat(
      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"%s\">%s</text>\n",
      x, y, anchor, colour, text);
}

std::string DrawGrid(const Axes& axes, const Panel& panel) {
  std::string svg;
  for (int tick = 0; tick <= kTicks; ++tick) {
    const double part = static_cast<double>(tick) / kTicks;
    const double y = axes.Y(axes.y.At(part));
    absl::StrAppendFormat(&svg,
                          "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#ddd\"/>\n",
                          axes.left + kLeft, y, axes.left + kWidth - kRight);
    svg += Text(axes.left + kLeft - 6, y + 4, "end",
                absl::StrFormat("%.3g", axes.y.At(part)));
    svg += Text(axes.X(axes.x.At(part)), kHeight - kBottom + 18, "middle",
                absl::StrFormat("%.3g", axes.x.At(part)));
  }
  svg += Text(axes.left + (kLeft + kWidth) / 2, kHeight - 10, "middle",
              panel.x_label);
  svg += Text(axes.left + kLeft, kTop - 14, "start", panel.y_label);
  return svg;
}

std::string DrawCurve(const Axes& axes, const Curve& curve,
                      const char* colour) {
  std::string path;
  std::string dots;
  for (const CurvePoint& point : curve.points) {
    if (!IsFinite(point)) continue;
    const double x = axes.X(point.x);
    const double y = axes.Y(point.y);
    absl::StrAppendFormat(&path, "%s%.1f %.1f", path.empty() ? "M" : "L", x, y);
    absl::StrAppendFormat(&dots,
                          "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" "
                          "fill=\"%s\"/>\n",
                          x, y, colour);
  }
  if (path.empty()) return "";
  const std::string line = absl::StrFormat(
      "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\"%s/>\n",
      path, colour, curve.dashed ? " stroke-dasharray=\"5 4\"" : "");
  return curve.dashed ? line : absl::StrCat(line, dots);
}

std::string DrawPanel(double left, const Panel& panel) {
  Axes axes = {.left = left};
  bool any = false;
  for (const Curve& curve : panel.curves) {
    for (const CurvePoint& point : curve.points) {
      if (!IsFinite(point)) continue;
      any = true;
      axes.x.Cover(point.x);
      axes.y.Cover(point.y);
    }
  }
  if (!any) {
    return Text(left + kWidth / 2, kHeight / 2, "middle",
                absl::StrCat(panel.y_label, ": not measured"));
  }
  axes.x.Widen();
  axes.y.Widen();
  std::string svg = DrawGrid(axes, panel);
  double key_at = kTop + 8;
  for (size_t i = 0; i < panel.curves.size(); ++i) {
    const char* const colour = kColours[i % kColours.size()];
    svg += DrawCurve(axes, panel.curves[i], colour);
    svg += Text(left + kWidth - kRight - 4, key_at += 15, "end",
                panel.curves[i].label, colour);
  }
  return svg;
}

}  // namespace

std::string DrawPanels(absl::Span<const Panel> panels) {
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      kWidth * static_cast<double>(panels.size()), kHeight);
  double left = 0;
  for (const Panel& panel : panels) {
    svg += DrawPanel(left, panel);
    left += kWidth;
  }
  return svg + "</svg>\n";
}

}  // namespace parm
