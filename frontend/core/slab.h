#pragma once

// A table of a fixed number of records, made once. Handing out and taking back
// a slot costs a few instructions and no allocation, records never move, and an
// id is never used twice, so that a late reply cannot reach a later record.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/status_macros.h"

namespace parm::core {

/// Base of whatever lives in a Slab.
struct SlabItem {
  uint64_t slab_id = 0;  // 0: free
  uint32_t next_free = 0;
};

inline constexpr int kSlabIndexBits = 22;
inline constexpr uint32_t kMaxSlabCapacity = (1U << kSlabIndexBits) - 1;

/// An id is a sequence number above the slot's index: 42 bits last 500 days at
/// 100,000 ids a second.
template <typename T>
class Slab {
 public:
  /// Needs: 1 <= capacity <= kMaxSlabCapacity.
  explicit Slab(uint32_t capacity) : items_(capacity) {
    PARM_CHECK(capacity >= 1 && capacity <= kMaxSlabCapacity);
    for (uint32_t i = 0; i < capacity; ++i) items_[i].next_free = i + 1;
  }

  /// A record in its initial state, or nullptr if the table is full.
  T* Allocate() {
    if (full()) return nullptr;
    const uint32_t index = free_;
    T& item = items_[index];
    free_ = item.next_free;
    item = T{};
    item.slab_id = (++sequence_ << kSlabIndexBits) | index;
    ++size_;
    return &item;
  }

  void Free(T* item) {
    PARM_CHECK(item->slab_id != 0);
    const uint32_t index = IndexOf(*item);
    item->slab_id = 0;
    item->next_free = free_;
    free_ = index;
    --size_;
  }

  /// nullptr if the record of this id has gone, or never was.
  T* Find(uint64_t id) {
    const uint64_t index = id & kMaxSlabCapacity;
    if (id == 0 || index >= items_.size()) return nullptr;
    T& item = items_[index];
    return item.slab_id == id ? &item : nullptr;
  }

  T& At(uint32_t index) { return items_[index]; }
  static uint32_t IndexOf(const T& item) {
    return static_cast<uint32_t>(item.slab_id & kMaxSlabCapacity);
  }

  size_t size() const { return size_; }
  size_t capacity() const { return items_.size(); }
  bool full() const { return size_ == items_.size(); }

 private:
  std::vector<T> items_;
  uint32_t free_ = 0;
  uint64_t sequence_ = 0;
  size_t size_ = 0;
};

}  // namespace parm::core
