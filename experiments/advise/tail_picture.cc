#include "experiments/advise/tail_picture.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace parm::advise {

namespace {

// Of a panel's axes, in pixels.
constexpr double kWidth = 380;
constexpr double kHeight = 280;
constexpr double kLeft = 70;
constexpr double kTop = 70;
constexpr double kStride = kWidth + 40;
constexpr double kMinShare = 1e-5;

struct Axes {
  double log_low = 0;  // of milliseconds
  double log_high = 1;
  double log_least = 0;  // of shares; their largest is 1

  double X(double ms) const {
    return kWidth * (std::log10(ms) - log_low) / (log_high - log_low);
  }
  double Y(double share) const {
    return kHeight * std::log10(share) / log_least;
  }
};

Axes AxesOf(absl::Span<const TailPanel> panels) {
  double low = HUGE_VAL;
  double high = 0;
  double least = 0.1;
  for (const TailPanel& panel : panels) {
    for (const TailCurve& curve : panel.curves) {
      for (const TailPoint& point : curve.points) {
        if (point.share_above < kMinShare) continue;
        low = std::min(low, point.latency_ms);
        high = std::max(high, point.latency_ms);
        least = std::min(least, point.share_above);
      }
    }
  }
  if (!(low < high)) high = 2 * (low = std::isfinite(low) ? low : 1);
  return {.log_low = std::log10(low),
          .log_high = std::log10(high),
          .log_least = std::floor(std::log10(least))};
}

std::string Escaped(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

void Text(double x, double y, absl::string_view anchor, const std::string& text,
          std::string* svg) {
  absl::StrAppendFormat(
      svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y,
      anchor, Escaped(text));
}

void Line(double x1, double y1, double x2, double y2, std::string* svg) {
  absl::StrAppendFormat(svg,
                        "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                        "y2=\"%.1f\" stroke=\"#ddd\"/>\n",
                        x1, y1, x2, y2);
}

void Grid(const Axes& axes, bool first, std::string* svg) {
  for (double log = 0; log >= axes.log_least; --log) {
    const double share = std::pow(10, log);
    Line(0, axes.Y(share), kWidth, axes.Y(share), svg);
    if (!first) continue;
    Text(-8, axes.Y(share) + 4, "end",
         log == 0 ? "all" : absl::StrFormat("%.4g %%", 100 * share), svg);
  }
  const double decades = axes.log_high - axes.log_low;
  for (double log = std::floor(axes.log_low); log <= axes.log_high; ++log) {
    for (const double step : {1.0, 2.0, 5.0}) {
      const double ms = step * std::pow(10, log);
      if (std::log10(ms) < axes.log_low || std::log10(ms) > axes.log_high) {
        continue;
      }
      Line(axes.X(ms), 0, axes.X(ms), kHeight, svg);
      if (step == 1 || decades < 3) {
        Text(axes.X(ms), kHeight + 18, "middle", absl::StrFormat("%g", ms),
             svg);
      }
    }
  }
  Text(kWidth / 2, kHeight + 38, "middle", "latency, ms", svg);
}

void Curve(const Axes& axes, const TailCurve& curve, std::string* svg) {
  absl::StrAppendFormat(svg,
                        "<polyline fill=\"none\" stroke=\"%s\" "
                        "stroke-width=\"2\"%s points=\"",
                        curve.colour,
                        curve.dashed ? " stroke-dasharray=\"5 4\"" : "");
  for (const TailPoint& point : curve.points) {
    if (point.share_above < kMinShare) continue;
    absl::StrAppendFormat(svg, "%.1f,%.1f ", axes.X(point.latency_ms),
                          axes.Y(point.share_above));
  }
  absl::StrAppend(svg, "\"/>\n");
}

void Legend(const TailPanel& panel, std::string* svg) {
  double x = kLeft;
  for (const TailCurve& curve : panel.curves) {
    absl::StrAppendFormat(svg,
                          "<line x1=\"%.0f\" y1=\"24\" x2=\"%.0f\" y2=\"24\" "
                          "stroke=\"%s\" stroke-width=\"3\"/>\n",
                          x, x + 18, curve.colour);
    Text(x + 23, 28, "start", curve.label, svg);
    x += 40 + 7.5 * static_cast<double>(curve.label.size());
  }
}

}  // namespace

std::string TailPictureSvg(absl::Span<const TailPanel> panels) {
  const Axes axes = AxesOf(panels);
  // The legend needs this much even above one panel.
  const double width =
      std::max(620.0, kLeft + kStride * static_cast<double>(panels.size()));
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" "
      "height=\"%.0f\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      width, kTop + kHeight + 50);
  if (!panels.empty()) Legend(panels.front(), &svg);
  double left = kLeft;
  for (const TailPanel& panel : panels) {
    absl::StrAppendFormat(&svg, "<g transform=\"translate(%.0f %.0f)\">\n",
                          left, kTop);
    Grid(axes, left == kLeft, &svg);
    for (const TailCurve& curve : panel.curves) Curve(axes, curve, &svg);
    Text(kWidth / 2, -10, "middle", panel.title, &svg);
    absl::StrAppend(&svg, "</g>\n");
    left += kStride;
  }
  absl::StrAppend(&svg, "</svg>\n");
  return svg;
}

}  // namespace parm::advise
