#pragma once

// A hash map of a fixed number of entries, made once: open addressing with
// linear probing, at most half full, and no tombstones (an erased entry's
// followers move back), so that it stays fast and never allocates.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "base/status_macros.h"

namespace parm::core {

/// Stirs all 64 bits (the finaliser of splitmix64).
constexpr uint64_t MixBits(uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

/// Key: regular, with `uint64_t Hash(const Key&)` found by argument lookup or a
/// uint64_t itself. Value: cheap to copy.
template <typename Key, typename Value>
class FixedMap {
 public:
  explicit FixedMap(size_t max_entries)
      : max_entries_(max_entries),
        slots_(std::bit_ceil(max_entries * 2 + 2)),
        mask_(slots_.size() - 1) {}

  /// nullptr if absent. Valid until the next Insert or Erase.
  const Value* Find(const Key& key) const {
    const size_t slot = Locate(key);
    return slots_[slot].used ? &slots_[slot].value : nullptr;
  }

  /// Needs: the key is absent, and the map is not full.
  void Insert(const Key& key, const Value& value) {
    PARM_CHECK(size_ < max_entries_);
    Slot& slot = slots_[Locate(key)];
    PARM_CHECK(!slot.used);
    slot = {.key = key, .value = value, .used = true};
    ++size_;
  }

  /// False if it was absent.
  bool Erase(const Key& key) {
    size_t hole = Locate(key);
    if (!slots_[hole].used) return false;
    for (size_t next = (hole + 1) & mask_; slots_[next].used;
         next = (next + 1) & mask_) {
      const size_t home = HashOf(slots_[next].key) & mask_;
      // An entry may fill the hole unless its home lies behind the hole.
      if (((next - home) & mask_) >= ((next - hole) & mask_)) {
        slots_[hole] = slots_[next];
        hole = next;
      }
    }
    slots_[hole] = {};
    --size_;
    return true;
  }

  size_t size() const { return size_; }
  bool full() const { return size_ == max_entries_; }

 private:
  struct Slot {
    Key key{};
    Value value{};
    bool used = false;
  };

  static uint64_t HashOf(const Key& key) {
    if constexpr (std::is_same_v<Key, uint64_t>) {
      return MixBits(key);
    } else {
      return Hash(key);
    }
  }

  // The slot of the key, or the free one where it would go.
  size_t Locate(const Key& key) const {
    size_t slot = HashOf(key) & mask_;
    while (slots_[slot].used && !(slots_[slot].key == key)) {
      slot = (slot + 1) & mask_;
    }
    return slot;
  }

  const size_t max_entries_;
  std::vector<Slot> slots_;
  const size_t mask_;
  size_t size_ = 0;
};

}  // namespace parm::core
