#pragma once

// Which queries of a model may share a batch or a coding group: the layouts of
// their inputs, interned. Step [2] of a query's life; part of the catalog.

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "absl/types/span.h"
#include "encoder/code.h"
#include "proto/oip/messages.h"

namespace parm {

struct CatalogBundle;

/// Why a query of a coded model is not coded: label `reason` of
/// parm_queries_uncoded_total.
enum class UncodedReason : uint8_t {
  kNone,              // it is, or the model's policy does not code
  kNoBatchDimension,  // of some input or output
  kSeveralTensors,    // inputs or outputs
  kNotSupported,      // a datatype or shape that the code does not take
  kNotFinite,         // this query's input
  kParameters,        // this query has some, which may change its answer
};
inline constexpr size_t kNumUncodedReasons = 6;

/// What queries of one layout may share.
struct Layout {
  uint32_t signature = 0;  // as core::QueryArrived
  UncodedReason uncoded = UncodedReason::kNone;
};

/// Bounds:  the kMaxLayouts that were used last, about.
/// Threads: the loop's only.
class LayoutTable {
 public:
  static constexpr size_t kMaxLayouts = 4096;

  /// The layout of a query's inputs: its signature is equal for queries that
  /// can share a batch and, if they can be coded, a coding group of this unit
  /// of their model. One that was forgotten meanwhile gets a new signature.
  /// What is to be coded but cannot be is logged once for each model and unit.
  /// `code`: the unit's; null: not to be coded.
  /// Needs: inputs were validated against `bundle`.
  Layout Find(const CatalogBundle& bundle, const std::string& model,
              uint8_t unit, const Code* code,
              absl::Span<const oip::Tensor> inputs);

  uint64_t num_forgotten() const { return num_forgotten_; }

 private:
  Layout NewLayout(const CatalogBundle& bundle, const std::string& model,
                   uint8_t unit, const Code* code,
                   absl::Span<const oip::Tensor> inputs);

  // In two halves: when the newer one is full, the older one is forgotten.
  std::unordered_map<std::string, Layout> newer_;
  std::unordered_map<std::string, Layout> older_;
  uint32_t last_signature_ = 0;
  uint64_t num_forgotten_ = 0;
  std::string text_;  // kept for its memory
  std::set<std::pair<std::string, uint8_t>> logged_;
};

}  // namespace parm
