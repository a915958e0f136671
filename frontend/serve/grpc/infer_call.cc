#include "frontend/serve/grpc/infer_call.h"

#include <utility>

#include "frontend/serve/grpc/grpc_message.h"
#include "proto/oip/grpc_bytes.h"
#include "proto/oip/infer_response_message.h"

namespace parm {

grpc::ServerUnaryReactor* InferCall::Start(CallContext* shared,
                                           grpc::CallbackServerContext* context,
                                           const grpc::ByteBuffer* message,
                                           grpc::ByteBuffer* reply) {
  const std::shared_ptr<InferCall> call(new InferCall(shared, context, reply));
  call->self_ = call;
  // The message is the call's own; const is only in gRPC's signature. Left
  // there, its tensors would be held twice until the reply.
  call->Read(const_cast<grpc::ByteBuffer*>(message));
  return call.get();
}

void InferCall::Read(grpc::ByteBuffer* message) {
  GrpcCounters& counters = shared_->counters;
  counters.bytes_received += message->Length();
  if (++counters.open_calls > shared_->options.max_calls) {
    ++counters.shed_calls;
    message->Clear();
    return End(Overloaded());
  }
  absl::StatusOr<oip::InferRequest> request =
      TakeInferRequest(*context_, message);
  if (!request.ok()) {
    ++counters.rejected_messages;
    return End(request.status());
  }
  const size_t tensor_bytes = TensorBytes(*request);
  request_ = *std::move(request);
  if (shared_->reply_bytes > shared_->options.max_buffered_bytes ||
      !shared_->queue.TryPush(tensor_bytes,
                              [self = shared_from_this()] { self->Ask(); })) {
    ++counters.shed_bytes;
    End(Overloaded());
  }
}

void InferCall::Ask() {
  shared_->open.insert(this);
  state_ = State::kWaiting;
  requested_ = request_.outputs;
  raw_outputs_ = request_.binary_outputs;
  handle_ =
      shared_->service->Infer(std::move(request_), [this](QueryReply answer) {
        // The call lives until it has ended.
        Answer(std::move(answer));
      });
}

void InferCall::Answer(QueryReply answer) {
  absl::Status status = answer.status;
  if (status.ok()) {
    const absl::StatusOr<oip::MessagePieces> pieces = oip::WriteInferMessage(
        answer.response, requested_, raw_outputs_,
        {.source = answer.source, .confidence = answer.confidence});
    status = pieces.status();
    if (pieces.ok()) {
      reply_bytes_ = oip::TotalBytes(*pieces);
      shared_->reply_bytes += reply_bytes_;
      shared_->counters.bytes_sent += reply_bytes_;
      *reply_ = oip::ToByteBuffer(*pieces);
    }
  }
  if (status.ok() || !answer.status.ok()) AddTrailingMetadata(answer, context_);
  state_ = State::kEnded;
  shared_->open.erase(this);
  End(status);
}

void InferCall::GiveUp(const absl::Status& why) {
  if (state_ != State::kWaiting) return;
  shared_->service->Abandon(handle_);
  state_ = State::kEnded;
  shared_->open.erase(this);
  End(why);
}

void InferCall::Abort() { GiveUp(ShuttingDown()); }

void InferCall::OnCancel() {
  shared_->queue.Push([self = shared_from_this()] {
    if (self->state_ == State::kWaiting) ++self->shared_->counters.abandoned;
    self->GiveUp(absl::CancelledError("the client has gone"));
  });
}

// The last touch: OnDone may come on another thread before this returns.
void InferCall::End(const absl::Status& status) {
  const grpc::Status out = ToGrpcStatus(status);
  shared_->counters.CountEnd(GrpcMethod::kModelInfer, out.error_code());
  Finish(out);
}

void InferCall::OnDone() {
  shared_->reply_bytes -= reply_bytes_;
  --shared_->counters.open_calls;
  self_.reset();
}

}  // namespace parm
