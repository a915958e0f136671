#pragma once

// Gives the tensors of inputs, replies, parity queries and decodes the ids by
// which the core speaks of them. The frontend loop owns one; an entry lives
// until the core emits ReleaseBuffer for it.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "proto/oip/messages.h"

namespace parm {

/// The inputs or outputs of one task or query, in the model's order.
struct TensorSet {
  std::vector<oip::Tensor> tensors;
  /// Rows (dimension 0) of one member: of a parity query and its answer those
  /// of the members it was made from, which its own shape need not tell; else
  /// its own.
  int64_t rows = 0;
  /// Of a query: what else its client said; null: nothing, or nobody asks.
  std::shared_ptr<const oip::RequestContext> context;
  /// Of a reply: the bundle that answered.
  std::optional<BundleKey> bundle;
};

/// Bound: what the core holds (max_queries), as every entry was named to it; no
/// query is admitted while bytes() is at max_buffered_bytes.
/// Threads: the loop's only.
class BufferTable {
 public:
  /// Never BufferId 0.
  BufferId Add(TensorSet tensors);

  /// Needs: Add returned `id` and Release was not called for it. The reference
  /// is good until the next Add.
  const TensorSet& Get(BufferId id) const;

  /// Needs: as Get. Tensors live on where else their Buffers are shared.
  void Release(BufferId id);

  size_t size() const { return entries_.size() - free_.size(); }
  /// Of all tensors that are held.
  uint64_t bytes() const { return bytes_; }

 private:
  struct Entry {
    bool used = false;
    TensorSet tensors;
  };
  std::vector<Entry> entries_;  // BufferId is the position plus one
  std::vector<uint32_t> free_;
  uint64_t bytes_ = 0;
};

}  // namespace parm
