#include "frontend/serve/status_page.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace parm {
namespace {

constexpr Duration kSpacing = Milliseconds(1000);

constexpr char kLatency[] = "parm_query_latency_seconds_bucket";
constexpr std::array kSources = {"exact",  "hedged",  "reconstructed",
                                 "backup", "default", "error"};

constexpr char kHead[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"refresh\" content=\"5\">\n"
    "<title>parm-frontend</title>\n<style>\n"
    "body{font:14px sans-serif;margin:24px;color:#222}\n"
    "table{border-collapse:collapse;margin:8px 0 24px}\n"
    "th,td{padding:3px 10px;border-bottom:1px solid #ddd;text-align:right}\n"
    "th:first-child,td:first-child{text-align:left}\n"
    "th{background:#f4f4f4;font-weight:600}\n"
    ".up{color:#06730a}.down,.silent,.no{color:#b00020;font-weight:600}\n"
    ".draining{color:#8a5a00}\n"
    "text{font:11px sans-serif;fill:#555}\n</style></head><body>\n";

std::string Escape(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// ---- The exposition format -----------------------------------------------

// Takes `name="value"` off `text`. False at the end, or for what is not one.
bool TakeLabel(absl::string_view* text, std::string* name, std::string* value) {
  const size_t equals = text->find("=\"");
  if (equals == absl::string_view::npos) return false;
  *name = std::string(text->substr(0, equals));
  value->clear();
  for (size_t i = equals + 2; i < text->size(); ++i) {
    char c = (*text)[i];
    if (c == '"') {
      text->remove_prefix(i + 1);
      if (absl::StartsWith(*text, ",")) text->remove_prefix(1);
      return true;
    }
    if (c == '\\' && i + 1 < text->size()) {
      c = (*text)[++i] == 'n' ? '\n' : (*text)[i];
    }
    *value += c;
  }
  return false;
}

// ---- What the page shows -------------------------------------------------

// How much series have grown since an earlier time.
class Growth {
 public:
  Growth(const MetricSamples& now, const MetricSamples* earlier)
      : now_(now), earlier_(earlier) {}

  double Of(const std::string& name,
            const MetricSamples::Labels& labels) const {
    const double grown =
        now_.Sum(name, labels) -
        (earlier_ != nullptr ? earlier_->Sum(name, labels) : 0);
    return std::max(grown, 0.0);
  }

 private:
  const MetricSamples& now_;
  const MetricSamples* const earlier_;
};

// Of one model: how many answers took at most so many seconds.
struct Tail {
  std::vector<std::pair<double, double>> at_most;  // ascending; without +Inf
  double all = 0;

  // Milliseconds, interpolated; nothing without answers, or beyond the bounds.
  std::optional<double> Quantile(double q) const {
    double below = 0;
    double from = 0;
    for (const auto& [bound, count] : at_most) {
      if (all > 0 && count >= q * all) {
        const double part =
            count > below ? (q * all - below) / (count - below) : 1.0;
        return 1000 * (from + (bound - from) * part);
      }
      below = count;
      from = bound;
    }
    return std::nullopt;
  }
};

Tail TailOf(const MetricSamples& now, const Growth& growth,
            const std::string& model) {
  Tail tail;
  for (const std::string& le :
       now.ValuesOf(kLatency, "le", {{"model", model}})) {
    const double count = growth.Of(kLatency, {{"model", model}, {"le", le}});
    double bound = 0;
    if (le == "+Inf") {
      tail.all = count;
    } else if (absl::SimpleAtod(le, &bound)) {
      tail.at_most.emplace_back(bound, count);
    }
  }
  std::sort(tail.at_most.begin(), tail.at_most.end());
  return tail;
}

void AddQuantile(const Tail& tail, double q, std::string* out) {
  const std::optional<double> milliseconds = tail.Quantile(q);
  if (milliseconds.has_value()) {
    absl::StrAppendFormat(out, "<td>%.1f</td>", *milliseconds);
  } else {
    absl::StrAppend(out, "<td>", tail.all > 0 ? "&gt; bounds" : "-", "</td>");
  }
}

void AddModels(const MetricSamples& now, const Growth& growth, double seconds,
               std::string* out) {
  absl::StrAppend(out,
                  "<h2>Models</h2>\n<table><tr><th>model</th>"
                  "<th>answers/s</th><th>p50 ms</th><th>p99 ms</th>"
                  "<th>p99.9 ms</th>");
  for (const char* source : kSources) {
    absl::StrAppend(out, "<th>", source, "</th>");
  }
  absl::StrAppend(out,
                  "<th>late</th><th>groups full</th><th>short</th>"
                  "<th>hedges sent</th><th>agreement</th></tr>\n");
  for (const std::string& model : now.ValuesOf("parm_queries_total", "model")) {
    const MetricSamples::Labels of_model = {{"model", model}};
    const Tail tail = TailOf(now, growth, model);
    absl::StrAppend(out, "<tr><td>", Escape(model), "</td>");
    const double answers = growth.Of("parm_queries_total", of_model);
    if (seconds > 0) {
      absl::StrAppendFormat(out, "<td>%.1f</td>", answers / seconds);
    } else {
      absl::StrAppend(out, "<td>-</td>");
    }
    for (const double q : {0.5, 0.99, 0.999}) AddQuantile(tail, q, out);
    for (const char* source : kSources) {
      absl::StrAppendFormat(out, "<td>%.0f</td>",
                            growth.Of("parm_queries_total",
                                      {{"model", model}, {"source", source}}));
    }
    absl::StrAppendFormat(
        out, "<td>%.0f</td><td>%.0f</td><td>%.0f</td><td>%.0f</td>",
        growth.Of("parm_late_originals_total", of_model),
        growth.Of("parm_groups_total", {{"model", model}, {"outcome", "full"}}),
        growth.Of("parm_groups_total",
                  {{"model", model}, {"outcome", "short"}}),
        growth.Of("parm_hedged_requests_total", of_model));
    const double agreement = now.Sum("parm_agreement", of_model);
    absl::StrAppend(out,
                    agreement > 0
                        ? absl::StrFormat("<td>%.1f %%</td>", 100 * agreement)
                        : "<td>-</td>",
                    "</tr>\n");
  }
  absl::StrAppend(out, "</table>\n");
}

void AddWorkers(const MetricSamples& now, std::string* out) {
  absl::StrAppend(out,
                  "<h2>Workers</h2>\n<table><tr><th>worker</th>"
                  "<th>state</th><th>in flight</th><th>queue</th></tr>\n");
  for (const std::string& worker :
       now.ValuesOf("parm_worker_state", "worker")) {
    std::string state = "unknown";
    for (const char* each : {"down", "silent", "draining", "up"}) {
      if (now.Sum("parm_worker_state", {{"worker", worker}, {"state", each}}) ==
          1) {
        state = each;
      }
    }
    absl::StrAppendFormat(
        out,
        "<tr><td>%s</td><td class=\"%s\">%s</td><td>%.0f</td><td>%.0f</td>"
        "</tr>\n",
        Escape(worker), state, state,
        now.Sum("parm_worker_in_flight", {{"worker", worker}}),
        now.Sum("parm_worker_queue_depth", {{"worker", worker}}));
  }
  absl::StrAppend(out, "</table>\n");
}

// The chart: log10 of the latency to the right, log10 of the share of answers
// that took longer downwards.
constexpr double kWidth = 640;
constexpr double kHeight = 260;
constexpr double kLeft = 50;
constexpr double kBottom = 30;
constexpr double kLeastSeconds = 1e-3;
constexpr double kDecades = 4;  // in both directions: 1 ms to 10 s, 1 to 1e-4

double XOf(double seconds) {
  const double decades =
      std::log10(std::max(seconds, kLeastSeconds)) - std::log10(kLeastSeconds);
  return kLeft + (kWidth - kLeft) * std::min(decades / kDecades, 1.0);
}

double YOf(double share) {
  const double decades = std::log10(std::max(share, 1e-12));
  return (kHeight - kBottom) * std::min(-decades / kDecades, 1.0);
}

void AddAxes(std::string* out) {
  for (int i = 0; i <= 4; ++i) {
    const double x = XOf(kLeastSeconds * std::pow(10, i));
    const double y = YOf(std::pow(10, -i));
    absl::StrAppendFormat(out,
                          "<path d=\"M%.1f 0V%.1fM%.1f %.1fH%.1f\" "
                          "stroke=\"#ddd\"/>\n",
                          x, kHeight - kBottom, kLeft, y, kWidth);
    absl::StrAppendFormat(
        out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g ms</text>\n",
        std::min(x + 15, kWidth), kHeight - kBottom + 16, std::pow(10, i));
    absl::StrAppendFormat(
        out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g %%</text>\n",
        kLeft - 6, std::max(y + 4, 11.0), 100 * std::pow(10, -i));
  }
}

void AddTails(const MetricSamples& now, const Growth& growth,
              std::string* out) {
  constexpr std::array kColours = {"#1f77b4", "#d62728", "#2ca02c",
                                   "#9467bd", "#ff7f0e", "#17becf"};
  absl::StrAppendFormat(out,
                        "<h2>Share of answers slower than</h2>\n"
                        "<svg width=\"%.0f\" height=\"%.0f\" role=\"img\">\n",
                        kWidth, kHeight);
  AddAxes(out);
  size_t drawn = 0;
  for (const std::string& model : now.ValuesOf("parm_queries_total", "model")) {
    const Tail tail = TailOf(now, growth, model);
    if (tail.all <= 0) continue;
    const char* const colour = kColours[drawn % kColours.size()];
    absl::StrAppendFormat(out,
                          "<polyline fill=\"none\" stroke-width=\"2\" "
                          "stroke=\"%s\" points=\"%.1f,%.1f",
                          colour, XOf(0), YOf(1));
    for (const auto& [bound, count] : tail.at_most) {
      absl::StrAppendFormat(out, " %.1f,%.1f", XOf(bound),
                            YOf(1 - count / tail.all));
      if (count >= tail.all) break;
    }
    absl::StrAppendFormat(
        out,
        "\"/>\n<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" "
        "style=\"fill:%s\">%s</text>\n",
        kWidth - 8, 16.0 + 14.0 * static_cast<double>(drawn), colour,
        Escape(model));
    ++drawn;
  }
  absl::StrAppend(out, "</svg>\n");
}

}  // namespace

MetricSamples::MetricSamples(absl::string_view text) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const size_t space = line.rfind(' ');
    if (absl::StartsWith(line, "#") || space == absl::string_view::npos) {
      continue;
    }
    Series series;
    if (!absl::SimpleAtod(line.substr(space + 1), &series.value)) continue;
    absl::string_view key = line.substr(0, space);
    const size_t brace = key.find('{');
    const std::string name(key.substr(0, brace));
    if (brace != absl::string_view::npos) {
      key.remove_prefix(brace + 1);
      std::string label;
      std::string value;
      while (TakeLabel(&key, &label, &value)) series.labels[label] = value;
    }
    by_name_[name].push_back(std::move(series));
  }
}

bool MetricSamples::Series::Has(const Labels& wanted) const {
  return std::all_of(wanted.begin(), wanted.end(), [this](const auto& label) {
    const auto found = labels.find(label.first);
    return found != labels.end() && found->second == label.second;
  });
}

double MetricSamples::Sum(const std::string& name, const Labels& labels) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return 0;
  double sum = 0;
  for (const Series& series : found->second) {
    if (series.Has(labels)) sum += series.value;
  }
  return sum;
}

std::vector<std::string> MetricSamples::ValuesOf(const std::string& name,
                                                 const std::string& label,
                                                 const Labels& labels) const {
  std::vector<std::string> values;
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return values;
  for (const Series& series : found->second) {
    const auto value = series.labels.find(label);
    if (value == series.labels.end() || !series.Has(labels)) continue;
    if (std::find(values.begin(), values.end(), value->second) ==
        values.end()) {
      values.push_back(value->second);
    }
  }
  return values;
}

std::string StatusPage::Render(absl::string_view metrics, Time now) {
  while (!earlier_.empty() && now - earlier_.front().first > kWindow) {
    earlier_.pop_front();
  }
  MetricSamples samples(metrics);
  const bool any = !earlier_.empty();
  const double seconds = any ? ToSeconds(now - earlier_.front().first) : 0;
  const Growth growth(samples, any ? &earlier_.front().second : nullptr);
  std::string out = kHead;
  const bool ready = samples.Sum("parm_ready") == 1;
  absl::StrAppendFormat(
      &out,
      "<h1>parm-frontend</h1>\n<p>Ready: <span class=\"%s\">%s</span>. "
      "%.0f queries in flight, %.0f bytes held, %.0f connections; "
      "configuration %.0f. Counts and latencies: %s. "
      "<a href=\"/metrics\">All metrics</a></p>\n",
      ready ? "up" : "no", ready ? "yes" : "no",
      samples.Sum("parm_queries_in_flight"), samples.Sum("parm_buffered_bytes"),
      samples.Sum("parm_http_connections"),
      samples.Sum("parm_config_generation"),
      any ? absl::StrFormat("the last %.0f s", seconds) : "since the start");
  AddModels(samples, growth, seconds, &out);
  AddTails(samples, growth, &out);
  AddWorkers(samples, &out);
  absl::StrAppend(&out, "</body></html>\n");
  if (!any || now - earlier_.back().first >= kSpacing) {
    earlier_.emplace_back(now, std::move(samples));
  }
  return out;
}

}  // namespace parm
