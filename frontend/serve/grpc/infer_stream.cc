#include "frontend/serve/grpc/infer_stream.h"

#include <utility>

#include "absl/strings/string_view.h"
#include "frontend/serve/grpc/grpc_message.h"
#include "proto/oip/grpc_bytes.h"

namespace parm {
namespace {

bool WantsErrorsToEnd(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("triton_grpc_error");
  return found != metadata.end() && found->second == "true";
}

}  // namespace

InferStream::InferStream(CallContext* shared,
                         grpc::CallbackServerContext* context)
    : shared_(shared),
      context_(context),
      errors_end_stream_(WantsErrorsToEnd(*context)) {}

InferStream::Reactor* InferStream::Start(CallContext* shared,
                                         grpc::CallbackServerContext* context) {
  const std::shared_ptr<InferStream> stream(new InferStream(shared, context));
  stream->self_ = stream;
  if (++shared->counters.open_streams > shared->options.max_streams ||
      !shared->queue.TryPush(0, [stream] { stream->Open(); })) {
    ++shared->counters.shed_calls;
    const grpc::Status status = ToGrpcStatus(Overloaded());
    shared->counters.CountEnd(GrpcMethod::kModelStreamInfer,
                              status.error_code());
    stream->Finish(status);
  }
  return stream.get();
}

void InferStream::Open() {
  if (shared_->draining) return End(ShuttingDown());
  shared_->open.insert(this);
  ReadNext();
}

// ---- Reading ------------------------------------------------------------

void InferStream::ReadNext() {
  if (reading_ || no_more_ || ended_ ||
      turns_.size() >= shared_->options.max_stream_in_flight) {
    return;
  }
  reading_ = true;
  StartRead(&read_buffer_);
}

void InferStream::OnReadDone(bool ok) {
  EventQueue& queue = shared_->queue;
  if (!ok) {
    queue.Push([self = shared_from_this()] {
      self->reading_ = false;
      self->no_more_ = true;
      self->Proceed();
    });
    return;
  }
  GrpcCounters& counters = shared_->counters;
  ++counters.stream_queries;
  counters.bytes_received += read_buffer_.Length();
  read_ = TakeInferRequest(*context_, &read_buffer_);
  size_t tensor_bytes = 0;
  if (read_.ok()) {
    tensor_bytes = TensorBytes(*read_);
  } else {
    ++counters.rejected_messages;
  }
  const auto event = [self = shared_from_this()] { self->TakeQuery(); };
  if (shared_->reply_bytes <= shared_->options.max_buffered_bytes &&
      queue.TryPush(tensor_bytes, event)) {
    return;
  }
  ++counters.shed_bytes;
  read_ = Overloaded();
  queue.Push(event);
}

void InferStream::TakeQuery() {
  reading_ = false;
  absl::StatusOr<oip::InferRequest> request = std::move(read_);
  // What comes in while draining has no answer but the stream's end.
  if (ended_ || draining_) return;
  const uint64_t number = first_turn_ + turns_.size();
  turns_.emplace_back();
  Turn& turn = turns_.back();
  if (request.ok()) {
    // A client or proxy sends nothing again once a reply has come.
    request->late_in_stream = first_turn_ > 0;
    turn.id = request->id;
    turn.requested = request->outputs;
    turn.raw_outputs = request->binary_outputs;
    turn.handle = shared_->service->Infer(*std::move(request),
                                          [this, number](QueryReply answer) {
                                            // The stream lives until it has
                                            // ended, and then waits for
                                            // nothing.
                                            Answer(number, std::move(answer));
                                          });
  } else {
    Refuse(turn, request.status());
  }
  Proceed();
}

// ---- Writing ------------------------------------------------------------

void InferStream::Answer(uint64_t turn_number, QueryReply answer) {
  Turn& turn = turns_[static_cast<size_t>(turn_number - first_turn_)];
  turn.handle.reset();
  absl::Status status = answer.status;
  if (status.ok()) {
    absl::StatusOr<oip::MessagePieces> pieces = oip::WriteStreamMessage(
        answer.response, turn.requested, turn.raw_outputs,
        {.source = answer.source, .confidence = answer.confidence});
    status = pieces.status();
    if (pieces.ok()) SetReply(turn, *std::move(pieces));
  }
  if (!status.ok()) Refuse(turn, status);
  Proceed();
}

void InferStream::Refuse(Turn& turn, const absl::Status& why) {
  ++shared_->counters.stream_errors;
  turn.error = why;
  SetReply(turn, oip::WriteStreamError(absl::string_view(why.message().data(),
                                                         why.message().size()),
                                       turn.id));
}

void InferStream::SetReply(Turn& turn, oip::MessagePieces pieces) {
  const size_t bytes = oip::TotalBytes(pieces);
  held_bytes_ += bytes;
  shared_->reply_bytes += bytes;
  turn.reply = std::move(pieces);
}

void InferStream::ReleaseBytes(size_t bytes) {
  held_bytes_ -= bytes;
  shared_->reply_bytes -= bytes;
}

/// Writes what is next, reads on, or ends: whatever can be done now.
void InferStream::Proceed() {
  if (ended_) return;
  if (!writing_ && !turns_.empty() && turns_.front().reply.has_value()) {
    if (errors_end_stream_ && !turns_.front().error.ok()) {
      return End(turns_.front().error);
    }
    WriteFront();
  }
  if (no_more_ && turns_.empty() && !writing_) {
    return End(draining_ ? ShuttingDown() : absl::OkStatus());
  }
  ReadNext();
}

void InferStream::WriteFront() {
  const oip::MessagePieces& pieces = *turns_.front().reply;
  write_bytes_ = oip::TotalBytes(pieces);
  shared_->counters.bytes_sent += write_bytes_;
  write_buffer_ = oip::ToByteBuffer(pieces);
  turns_.pop_front();
  ++first_turn_;
  writing_ = true;
  StartWrite(&write_buffer_);
}

void InferStream::OnWriteDone(bool ok) {
  shared_->queue.Push([self = shared_from_this(), ok] {
    if (self->ended_) return;
    self->writing_ = false;
    self->write_buffer_.Clear();
    self->ReleaseBytes(std::exchange(self->write_bytes_, 0));
    if (!ok) return self->End(absl::CancelledError("the client has gone"));
    self->Proceed();
  });
}

// ---- The end ------------------------------------------------------------

void InferStream::Drain() {
  draining_ = true;
  no_more_ = true;
  Proceed();
}

void InferStream::Abort() { End(ShuttingDown()); }

void InferStream::OnCancel() {
  shared_->queue.Push([self = shared_from_this()] {
    self->End(absl::CancelledError("the client has gone"));
  });
}

void InferStream::End(absl::Status status) {
  if (std::exchange(ended_, true)) return;
  for (const Turn& turn : turns_) {
    if (!turn.handle.has_value()) continue;
    shared_->service->Abandon(*turn.handle);
    ++shared_->counters.abandoned;
  }
  turns_.clear();
  ReleaseBytes(held_bytes_);
  shared_->open.erase(this);
  const grpc::Status out = ToGrpcStatus(status);
  shared_->counters.CountEnd(GrpcMethod::kModelStreamInfer, out.error_code());
  Finish(out);
}

void InferStream::OnDone() {
  --shared_->counters.open_streams;
  self_.reset();
}

}  // namespace parm
