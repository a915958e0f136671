#pragma once

// A model server over HTTP: ServerConnections carry the bytes, ServerDialect
// knows what the server understands.

#include <memory>

#include "frontend/upstream/oip/server_channel.h"
#include "frontend/upstream/oip/server_reply_reader.h"
#include "proto/oip/infer_response_codec.h"

namespace parm {

/// What a whole reply to a question says.
ServerAnswer UnderstandReply(ServerQuestion question, const ServerReply& reply,
                             oip::InferResponseParser* parser);

std::unique_ptr<ServerChannel> MakeHttpChannel(ServerChannelParts parts);

}  // namespace parm
