#pragma once

// Which redundancy unit is the best buy: a pure choice by measured figures. A
// unit is one extra task, or r of them, for a group of k queries, whatever its
// code: it has a price, and what it gives for that.

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace parm {

/// What is known of a unit that could be used now.
struct UnitFigures {
  int k = 1;
  /// Service time of a full group's tasks, in queries; 0: not known.
  double cost = 0;
  /// a_a - a_d at one loss, a fraction; unset: not known.
  std::optional<double> accuracy_drop;
  int cover = 1;     // losses of one group that it makes up for
  double bytes = 0;  // of its parity queries, for each query that it protects

  double cost_per_query() const { return cost / k; }
  bool known() const { return cost > 0 && accuracy_drop.has_value(); }
};

enum class UnitReason : uint8_t {
  kOnlyOne,
  kOnlyOneBeyond,  // it is beyond the bound on accuracy
  kCheapest,       // within the bound on accuracy
  kMostAccurate,   // of those that cost about as little as the cheapest
  kLeastDrop,      // none is within the bound
  kFirstListed,    // no figures are known
};
absl::string_view NameOf(UnitReason reason);

struct UnitVerdict {
  size_t position = 0;
  UnitReason reason = UnitReason::kOnlyOne;
};

/// Units that cost up to this factor more than the cheapest are as cheap: costs
/// are measured, and not always on the machine that serves.
inline constexpr double kAsCheap = 1.1;

/// Of the units whose accuracy drop is at most `max_accuracy_drop` the cheapest
/// by extra service time for each query; of those within kAsCheap of it the
/// most accurate, then the one of the greatest cover, then of the fewest bytes.
/// If no drop is within the bound, the least: the bound refuses none. Units
/// with figures come before those without; what is equal is taken in the order
/// of `units`. nullopt: none is given.
std::optional<UnitVerdict> ChooseUnit(absl::Span<const UnitFigures> units,
                                      double max_accuracy_drop);

}  // namespace parm
