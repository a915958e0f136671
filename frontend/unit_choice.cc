#include "frontend/unit_choice.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace parm {
namespace {

// The least wins.
auto Worth(const UnitFigures& unit) {
  return std::tuple(*unit.accuracy_drop, -unit.cover, unit.bytes);
}

double LeastCost(absl::Span<const UnitFigures> units, double max_drop) {
  double least = std::numeric_limits<double>::infinity();
  for (const UnitFigures& unit : units) {
    if (unit.known() && *unit.accuracy_drop <= max_drop) {
      least = std::min(least, unit.cost_per_query());
    }
  }
  return least;
}

}  // namespace

absl::string_view NameOf(UnitReason reason) {
  switch (reason) {
    case UnitReason::kOnlyOne:
      return "the only one that is served";
    case UnitReason::kOnlyOneBeyond:
      return "the only one that is served, though beyond max_accuracy_drop";
    case UnitReason::kCheapest:
      return "the cheapest";
    case UnitReason::kMostAccurate:
      return "the most accurate of the cheapest";
    case UnitReason::kLeastDrop:
      return "the most accurate, though beyond max_accuracy_drop";
    case UnitReason::kFirstListed:
      return "the first of those that are served, as no figures are known";
  }
  return "";
}

std::optional<UnitVerdict> ChooseUnit(absl::Span<const UnitFigures> units,
                                      double max_accuracy_drop) {
  if (units.empty()) return std::nullopt;
  const bool any_known =
      std::any_of(units.begin(), units.end(),
                  [](const UnitFigures& unit) { return unit.known(); });
  if (units.size() == 1) {
    const bool beyond = units[0].accuracy_drop > max_accuracy_drop;
    return UnitVerdict{.reason = beyond ? UnitReason::kOnlyOneBeyond
                                        : UnitReason::kOnlyOne};
  }
  if (!any_known) return UnitVerdict{.reason = UnitReason::kFirstListed};
  const double least = LeastCost(units, max_accuracy_drop);
  const bool within = least < std::numeric_limits<double>::infinity();
  std::optional<size_t> best;
  for (size_t i = 0; i < units.size(); ++i) {
    const UnitFigures& unit = units[i];
    if (!unit.known()) continue;
    if (within && (*unit.accuracy_drop > max_accuracy_drop ||
                   unit.cost_per_query() > kAsCheap * least)) {
      continue;
    }
    if (!best.has_value() || Worth(unit) < Worth(units[*best])) best = i;
  }
  const bool cheapest = units[*best].cost_per_query() <= least;
  return UnitVerdict{.position = *best,
                     .reason = !within    ? UnitReason::kLeastDrop
                               : cheapest ? UnitReason::kCheapest
                                          : UnitReason::kMostAccurate};
}

}  // namespace parm
