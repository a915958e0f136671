#include "frontend/buffer_table.h"

#include <utility>

#include "base/status_macros.h"

namespace parm {
namespace {

uint64_t BytesOf(const TensorSet& set) {
  uint64_t bytes = 0;
  for (const oip::Tensor& tensor : set.tensors) bytes += tensor.data.size();
  return bytes;
}

}  // namespace

BufferId BufferTable::Add(TensorSet tensors) {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(entries_.size()));
    entries_.emplace_back();
  }
  const uint32_t index = free_.back();
  free_.pop_back();
  bytes_ += BytesOf(tensors);
  entries_[index] = {.used = true, .tensors = std::move(tensors)};
  return BufferId{index + 1};
}

const TensorSet& BufferTable::Get(BufferId id) const {
  const uint32_t index = Raw(id) - 1;  // id 0 wraps and fails the check
  PARM_CHECK(index < entries_.size() && entries_[index].used);
  return entries_[index].tensors;
}

void BufferTable::Release(BufferId id) {
  const uint32_t index = Raw(id) - 1;
  PARM_CHECK(index < entries_.size() && entries_[index].used);
  bytes_ -= BytesOf(entries_[index].tensors);
  entries_[index] = {};
  free_.push_back(index);
}

}  // namespace parm
