#pragma once

// Reference-counted immutable bytes: the body of one tensor from the socket it
// came from to the last task, decode or reply that needs it. Copying a Buffer
// copies a pointer.

#include <atomic>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/types/span.h"

namespace parm {

/// Threads: different Buffer objects that share bytes may be used and destroyed
/// on any thread (libzmq frees zero-copy messages on its own I/O thread, so
/// the count is atomic); one Buffer object is not for two threads at once.
class Buffer {
 public:
  /// Runs once, on whatever thread drops the last reference.
  using Release = void (*)(void* owner);

  Buffer() = default;
  Buffer(const Buffer& other) : rep_(other.rep_), bytes_(other.bytes_) {
    Retain();
  }
  Buffer(Buffer&& other) noexcept
      : rep_(std::exchange(other.rep_, nullptr)),
        bytes_(std::exchange(other.bytes_, {})) {}
  Buffer& operator=(Buffer other) noexcept {
    std::swap(rep_, other.rep_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Buffer() { Drop(); }

  /// `size` bytes to be filled through `*data` before the Buffer is shared.
  static Buffer Allocate(size_t size, std::byte** data);
  static Buffer CopyOf(absl::Span<const std::byte> bytes);
  static Buffer FromString(std::string text);
  /// Takes bytes that `owner` keeps alive until `release(owner)`.
  static Buffer Wrap(absl::Span<const std::byte> bytes, void* owner,
                     Release release);

  /// The part [offset, offset + size), sharing ownership.
  /// Needs: offset + size <= this->size().
  Buffer Slice(size_t offset, size_t size) const;

  absl::Span<const std::byte> bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

 private:
  struct Rep {
    std::atomic<int> references;
    void* owner;
    Release release;
  };
  Buffer(Rep* rep, absl::Span<const std::byte> bytes)
      : rep_(rep), bytes_(bytes) {}
  void Retain() {
    if (rep_ != nullptr) {
      rep_->references.fetch_add(1, std::memory_order_relaxed);
    }
  }
  void Drop();

  Rep* rep_ = nullptr;
  absl::Span<const std::byte> bytes_;
};

}  // namespace parm
