#pragma once

// One ModelInfer call, from its message to its reply: steps [1] and [7] of a
// query's life. Internal to frontend/serve/grpc/: it shows the gRPC library.

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "frontend/serve/grpc/call_context.h"
#include "proto/oip/messages.h"

namespace parm {

/// A thread of gRPC reads the message, the loop does the rest. The call owns
/// itself until gRPC is done with it; events hold it too.
class InferCall final : public grpc::ServerUnaryReactor,
                        public OpenCall,
                        public std::enable_shared_from_this<InferCall> {
 public:
  /// What the service's method returns. `context` outlives the call.
  static grpc::ServerUnaryReactor* Start(CallContext* shared,
                                         grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* message,
                                         grpc::ByteBuffer* reply);
  ~InferCall() override = default;

  // Any thread of gRPC.
  void OnCancel() override;
  void OnDone() override;

  // The loop.
  void Abort() override;
  void Drain() override {}  // Has one reply to wait for.

 private:
  enum class State { kNew, kWaiting, kEnded };

  InferCall(CallContext* shared, grpc::CallbackServerContext* context,
            grpc::ByteBuffer* reply)
      : shared_(shared), context_(context), reply_(reply) {}

  void Read(grpc::ByteBuffer* message);
  void Ask();
  void Answer(QueryReply answer);
  void GiveUp(const absl::Status& why);
  void End(const absl::Status& status);

  // Constant after Start.
  CallContext* const shared_;
  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const reply_;
  std::shared_ptr<InferCall> self_;  // until OnDone

  // The reading thread's, then the loop's.
  oip::InferRequest request_;
  std::vector<oip::RequestedOutput> requested_;
  bool raw_outputs_ = false;
  size_t reply_bytes_ = 0;

  // The loop's alone.
  State state_ = State::kNew;
  QueryHandle handle_{};
};

}  // namespace parm
