#include "experiments/sim/buffer_book.h"

namespace parm::sim {

BufferId BufferBook::Add(Content content, uint32_t rows) {
  uint32_t index;
  if (free_.empty()) {
    index = static_cast<uint32_t>(entries_.size());
    entries_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  entries_[index] = {.content = content, .rows = rows, .held = true};
  ++num_held_;
  return BufferId{index};
}

Content BufferBook::Read(BufferId buffer, const char* why) {
  const uint32_t index = Raw(buffer);
  if (index == 0 || index >= entries_.size() || !entries_[index].held) {
    violations_.Add("buffer is not held: ", index, " for ", why);
    return 0;
  }
  return entries_[index].content;
}

uint32_t BufferBook::Rows(BufferId buffer) const {
  return Raw(buffer) < entries_.size() ? entries_[Raw(buffer)].rows : 0;
}

void BufferBook::Release(BufferId buffer) {
  const uint32_t index = Raw(buffer);
  if (index == 0 || index >= entries_.size() || !entries_[index].held) {
    violations_.Add("buffer released but not held: ", index);
    return;
  }
  entries_[index].held = false;
  free_.push_back(index);
  --num_held_;
}

}  // namespace parm::sim
