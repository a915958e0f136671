#pragma once

// One ModelStreamInfer call: each message is a query, replies leave in the
// order of the queries. Steps [1] and [7] of a query's life. Internal to
// frontend/serve/grpc/: it shows the gRPC library.

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "frontend/serve/grpc/call_context.h"
#include "proto/oip/infer_response_message.h"
#include "proto/oip/messages.h"

namespace parm {

/// A thread of gRPC reads a message, the loop does the rest. At most one read
/// and one write are under way. The stream owns itself until gRPC is done with
/// it; events hold it too.
/// Bounds: max_stream_in_flight queries; then nothing is read.
class InferStream final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public OpenCall,
      public std::enable_shared_from_this<InferStream> {
 public:
  using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

  /// What the service's method returns. `context` outlives the stream.
  static Reactor* Start(CallContext* shared,
                        grpc::CallbackServerContext* context);
  ~InferStream() override = default;

  // Any thread of gRPC.
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // The loop.
  void Abort() override;
  void Drain() override;

 private:
  /// A query that has not been answered to the client yet.
  struct Turn {
    std::string id;
    std::vector<oip::RequestedOutput> requested;
    bool raw_outputs = false;
    /// Of the service, while it has not answered.
    std::optional<QueryHandle> handle;
    /// The reply, once there is one; if it is an error, why.
    std::optional<oip::MessagePieces> reply;
    absl::Status error;
  };

  InferStream(CallContext* shared, grpc::CallbackServerContext* context);

  void Open();
  void ReadNext();
  void TakeQuery();
  void Answer(uint64_t turn, QueryReply answer);
  void Refuse(Turn& turn, const absl::Status& why);
  void SetReply(Turn& turn, oip::MessagePieces pieces);
  void Proceed();
  void WriteFront();
  void ReleaseBytes(size_t bytes);
  /// By value: what it is may belong to a turn, which ends here.
  void End(absl::Status status);

  // Constant after Start.
  CallContext* const shared_;
  grpc::CallbackServerContext* const context_;
  /// The client wants an error to end the stream.
  const bool errors_end_stream_;
  std::shared_ptr<InferStream> self_;  // until OnDone

  // Whose turn it is: gRPC's thread from StartRead to the event that tells of
  // it, then the loop's.
  grpc::ByteBuffer read_buffer_;
  absl::StatusOr<oip::InferRequest> read_;

  // The loop's alone, and what gRPC writes.
  grpc::ByteBuffer write_buffer_;
  size_t write_bytes_ = 0;
  std::deque<Turn> turns_;
  uint64_t first_turn_ = 0;  // number of turns_.front()
  size_t held_bytes_ = 0;    // of replies
  bool reading_ = false;
  bool writing_ = false;
  bool no_more_ = false;  // the client has sent its last, or we are draining
  bool draining_ = false;
  bool ended_ = false;
};

}  // namespace parm
