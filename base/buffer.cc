#include "base/buffer.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "base/status_macros.h"

namespace parm {

Buffer Buffer::Allocate(size_t size, std::byte** data) {
  // One allocation: the count in front of the bytes, 64-byte aligned so that
  // SIMD kernels read whole lines.
  constexpr size_t kHeader = 64;
  static_assert(sizeof(Rep) <= kHeader);
  const size_t total = (kHeader + size + 63) / 64 * 64;
  void* block = std::aligned_alloc(64, total);
  if (block == nullptr) throw std::bad_alloc();
  Rep* rep = new (block) Rep{1, block, [](void* owner) { std::free(owner); }};
  *data = static_cast<std::byte*>(block) + kHeader;
  return Buffer(rep, {*data, size});
}

Buffer Buffer::CopyOf(absl::Span<const std::byte> bytes) {
  std::byte* data;
  Buffer buffer = Allocate(bytes.size(), &data);
  if (!bytes.empty()) std::memcpy(data, bytes.data(), bytes.size());
  return buffer;
}

Buffer Buffer::FromString(std::string text) {
  auto* owner = new std::string(std::move(text));
  return Wrap(
      absl::MakeConstSpan(reinterpret_cast<const std::byte*>(owner->data()),
                          owner->size()),
      owner, [](void* o) { delete static_cast<std::string*>(o); });
}

Buffer Buffer::Wrap(absl::Span<const std::byte> bytes, void* owner,
                    Release release) {
  return Buffer(new Rep{1, owner, release}, bytes);
}

Buffer Buffer::Slice(size_t offset, size_t size) const {
  PARM_CHECK(offset <= bytes_.size() && size <= bytes_.size() - offset);
  Buffer slice = *this;
  slice.bytes_ = bytes_.subspan(offset, size);
  return slice;
}

void Buffer::Drop() {
  if (rep_ == nullptr) return;
  if (rep_->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  // In Allocate the Rep lives inside the block that release frees.
  Rep* rep = rep_;
  void* const owner = rep->owner;
  const Release release = rep->release;
  if (owner != static_cast<void*>(rep)) delete rep;
  release(owner);
}

}  // namespace parm
