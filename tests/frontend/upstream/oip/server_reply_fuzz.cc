// Whatever a model server may send in place of a reply: through the reader in
// one piece and in pieces of data[0] bytes, which must see the same, and what
// comes out of it as the answer to a task.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include "base/status_macros.h"
#include "frontend/upstream/oip/http_channel.h"
#include "frontend/upstream/oip/reply_translation.h"
#include "frontend/upstream/oip/server_reply_reader.h"

namespace {

struct Outcome {
  absl::StatusCode code = absl::StatusCode::kOk;
  std::optional<parm::ServerReply> reply;
};

// The reply, or why there is none; the input is all that the server sends.
Outcome Read(const uint8_t* data, size_t size, size_t step) {
  parm::ServerReplyReader reader(
      {.max_head_bytes = 1024, .max_body_bytes = 4096});
  for (size_t used = 0; used < size;) {
    const absl::Span<std::byte> space = reader.Space();
    PARM_CHECK(!space.empty());
    const size_t count = std::min({space.size(), size - used, step});
    std::memcpy(space.data(), data + used, count);
    used += count;
    const absl::Status status = reader.Commit(count);
    if (!status.ok()) return {.code = status.code()};
  }
  const absl::Status end = reader.CommitEnd();
  if (!end.ok()) return {.code = end.code()};
  PARM_CHECK(reader.done());
  return {.reply = reader.Take()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const size_t step = data[0] + size_t{1};
  ++data;
  --size;
  Outcome whole = Read(data, size, SIZE_MAX);
  const Outcome pieces = Read(data, size, step);
  // Not which error: a chunk head that never ends is malformed as soon as its
  // bytes tell so, or too large when the buffer is full.
  PARM_CHECK(whole.reply.has_value() == pieces.reply.has_value());
  if (!whole.reply.has_value()) {
    PARM_CHECK(whole.code == absl::StatusCode::kDataLoss ||
               whole.code == absl::StatusCode::kUnavailable ||
               whole.code == absl::StatusCode::kResourceExhausted);
    return 0;
  }
  PARM_CHECK(whole.reply->status == pieces.reply->status);
  PARM_CHECK(whole.reply->body.json_bytes == pieces.reply->body.json_bytes);
  const size_t body_size = whole.reply->body.size;
  PARM_CHECK(body_size == pieces.reply->body.size && body_size <= 4096);
  PARM_CHECK(std::memcmp(whole.reply->body.storage.bytes().data(),
                         pieces.reply->body.storage.bytes().data(),
                         body_size) == 0);

  parm::ServerReplyCounters counters;
  parm::oip::InferResponseParser parser;
  std::string version;
  const bool ok = whole.reply->status == 200;
  const parm::WorkerReply reply =
      parm::TranslateReply(parm::TaskId{1}, "1",
                           parm::UnderstandReply(parm::ServerQuestion::kInfer,
                                                 *whole.reply, &parser),
                           &counters, &version);
  PARM_CHECK(reply.status == parm::wire::OK ||
             (reply.status == parm::wire::ERROR && reply.tensors.empty()));
  PARM_CHECK(ok || reply.status == parm::wire::ERROR);
  PARM_CHECK(counters.ok + counters.refused + counters.failed +
                 counters.malformed ==
             1);
  return 0;
}
