#pragma once

// Names a task for seeded draws of pace and faults at the workers by what it
// carries, not by its id: the i-th query that arrives for a model draws with
// the same key under every policy and in every run of the same schedule. Made
// where a task is sent, step [4] of a query's life.

#include <cstdint>

#include "base/ids.h"
#include "frontend/core/fixed_map.h"

namespace parm::core {

/// What a task carries: the inputs of a batch, or parity query i of a group.
struct LuckSource {
  ModelId model{};
  /// Among the queries that arrived for the model, counted from 1, taken in or
  /// not: the first query of the batch, or of the group's first member.
  uint64_t query_number = 0;
  uint32_t part = 0;  // 0: the batch; 1 + i: parity query i
  uint32_t copy = 0;  // how often it was sent before
};

inline Luck LuckOf(const LuckSource& source) {
  const uint64_t model_part = (uint64_t{Raw(source.model)} << 32) | source.part;
  return Luck{MixBits(MixBits(MixBits(source.query_number) ^ model_part) ^
                      source.copy)};
}

}  // namespace parm::core
