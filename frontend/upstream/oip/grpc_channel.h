#pragma once

// A model server over gRPC (grpc++, callback API): one channel, with a
// connection of its own, for all its questions. Tensors go and come raw.

#include <memory>

#include "frontend/upstream/oip/server_channel.h"

namespace parm {

/// Threads: replies become values on the library's threads, which post them to
/// the loop; all else is the loop's. Destroying it waits for those threads to
/// leave calls that they are in.
std::unique_ptr<ServerChannel> MakeGrpcChannel(ServerChannelParts parts);

}  // namespace parm
