#pragma once

// Messages as the gRPC library sends them, made of pieces that are shared with
// it. It shows the library's headers, so .cc files alone include it: those of
// the gRPC front and of the upstream to model servers.

#include <grpcpp/support/byte_buffer.h>

#include "proto/oip/message_pieces.h"

namespace parm::oip {

/// Large pieces are shared, not copied; the library drops them on a thread of
/// its own.
grpc::ByteBuffer ToByteBuffer(const MessagePieces& pieces);

}  // namespace parm::oip
