#include "proto/oip/grpc_bytes.h"

#include <grpcpp/support/slice.h>

#include <cstddef>
#include <vector>

namespace parm::oip {
namespace {

/// Pieces above this are shared with gRPC, others copied.
constexpr size_t kMinSharedBytes = 1024;

grpc::Slice ToSlice(const Buffer& piece) {
  const std::byte* const bytes = piece.bytes().data();
  if (piece.size() < kMinSharedBytes) {
    return grpc::Slice(static_cast<const void*>(bytes), piece.size());
  }
  // The slice is only read; its type has no const.
  return grpc::Slice(
      const_cast<std::byte*>(bytes), piece.size(),
      [](void* owner) { delete static_cast<Buffer*>(owner); },
      new Buffer(piece));
}

}  // namespace

grpc::ByteBuffer ToByteBuffer(const MessagePieces& pieces) {
  std::vector<grpc::Slice> slices;
  slices.reserve(pieces.size());
  for (const Buffer& piece : pieces) slices.push_back(ToSlice(piece));
  return {slices.data(), slices.size()};
}

}  // namespace parm::oip
