#pragma once

// Every buffer that the simulated performer gave to the core: what is in it,
// and that it is used only while the core holds it and given back exactly once.
// Contents are numbers that stand for tensors: a batch is the sum of its
// queries' values weighted by row, a model multiplies by a constant. So a wrong
// row, member or group gives a wrong number.

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "experiments/sim/violations.h"

namespace parm::sim {

using Content = uint64_t;

/// What a model makes of an input.
constexpr Content ModelOutput(Content input) {
  return input * 0xd6e8feb86659fd93U;
}

class BufferBook {
 public:
  explicit BufferBook(Violations& violations) : violations_(violations) {}

  /// rows: samples on dimension 0.
  BufferId Add(Content content, uint32_t rows = 1);

  /// 0 and a violation if the core does not hold it.
  Content Read(BufferId buffer, const char* why);
  uint32_t Rows(BufferId buffer) const;

  void Release(BufferId buffer);

  size_t num_held() const { return num_held_; }

 private:
  struct Entry {
    Content content = 0;
    uint32_t rows = 0;
    bool held = false;
  };
  Violations& violations_;
  std::vector<Entry> entries_{1};  // BufferId 0 is none
  std::vector<uint32_t> free_;
  size_t num_held_ = 0;
};

}  // namespace parm::sim
