#pragma once

// Reads HTTP/1 replies off a connection to a model server, without a socket:
// bytes go in as they come, whole replies come out. A body of known length is
// received straight into the storage that its tensors then live in.

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "proto/oip/body.h"

namespace parm {

/// One whole reply of a model server.
struct ServerReply {
  int status = 0;
  /// json_bytes is Inference-Header-Content-Length.
  oip::Body body;
};

struct ServerReplyLimits {
  size_t max_head_bytes = size_t{16} << 10;
  size_t max_body_bytes = size_t{64} << 20;
};

/// Threads: one.
class ServerReplyReader {
 public:
  explicit ServerReplyReader(const ServerReplyLimits& limits);
  ~ServerReplyReader();
  ServerReplyReader(ServerReplyReader&&) noexcept;

  /// Where the next bytes go; never empty before done() or an error.
  absl::Span<std::byte> Space();

  /// `size` bytes were put into Space().
  /// Errors: kDataLoss for what is no HTTP/1 reply, switches protocols, is
  /// compressed unasked, says something impossible of its own length, or goes
  /// on behind its end; kResourceExhausted beyond a limit. The reader is then
  /// of no more use.
  absl::Status Commit(size_t size);

  /// The peer sends nothing more.
  /// Errors: kUnavailable if nothing of a reply has come; kDataLoss if half of
  /// one has.
  absl::Status CommitEnd();

  bool done() const;
  /// Anything of a reply has come.
  bool begun() const;
  /// Bytes still to come, as far as the reply has said.
  size_t remaining() const;
  /// The connection serves another request afterwards. Needs: done().
  bool keep_alive() const;

  /// Needs: done(). The reader is then ready for the next reply.
  ServerReply Take();

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace parm
