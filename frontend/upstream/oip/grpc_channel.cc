#include "frontend/upstream/oip/grpc_channel.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <climits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "frontend/upstream/oip/reply_translation.h"
#include "frontend/upstream/oip/server_dialect.h"
#include "proto/oip/grpc_bytes.h"
#include "proto/oip/grpc_service.pb.h"
#include "proto/oip/header_metadata.h"
#include "proto/oip/infer_request_message.h"
#include "proto/oip/infer_response_message.h"
#include "proto/oip/metadata_message.h"

namespace parm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kMethods[] = {
    "/inference.GRPCInferenceService/ServerReady",
    "/inference.GRPCInferenceService/ServerMetadata",
    "/inference.GRPCInferenceService/ModelReady",
    "/inference.GRPCInferenceService/ModelMetadata",
    "/inference.GRPCInferenceService/ModelInfer",
};

std::string TargetOf(const ServerUrl& url) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(url.host, error);
  if (error) return absl::StrCat("dns:///", url.host, ":", url.port);
  return address.is_v6() ? absl::StrCat("ipv6:[", url.host, "]:", url.port)
                         : absl::StrCat("ipv4:", url.host, ":", url.port);
}

int ToMs(Duration duration) {
  return static_cast<int>(
      std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

bool IsPrintable(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= ' ' && c <= '~'; });
}

std::shared_ptr<grpc::Channel> Connect(const ServerChannelParts& parts) {
  grpc::ChannelArguments arguments;
  const size_t most = std::min(parts.all->max_reply_bytes, size_t{INT_MAX});
  arguments.SetMaxReceiveMessageSize(static_cast<int>(most));
  arguments.SetMaxSendMessageSize(-1);
  // Channels to one address would share a connection otherwise.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // A server of a name with several is asked by that name.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY,
                      parts.server->url.host_header);
  // The environment's proxy is for the world outside.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                   ToMs(parts.all->heartbeat_interval));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,
                   ToMs(parts.all->max_backoff));
  // What this is too: how long a connection may take to be made.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
                   ToMs(parts.all->connect_timeout));
  // Else a connection that a machine or a network has swallowed without a word
  // would be used until the kernel gives it up, a quarter of an hour later.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, ToMs(parts.all->ping_interval));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                   ToMs(parts.all->ping_interval));
  return grpc::CreateCustomChannel(TargetOf(parts.server->url),
                                   grpc::InsecureChannelCredentials(),
                                   arguments);
}

/// One exchange. The library's until it has ended, and the loop's.
struct Call {
  uint64_t id = 0;
  ServerQuestion question = ServerQuestion::kReady;
  Time give_up{};
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer reply;

  // The loop's alone.
  ServerChannel::Done done;
  bool dropped = false;
  bool cancelled = false;
  bool ended = false;         // cancelled, and the library has let go of it
  uint64_t cancelled_at = 0;  // the last id by then
};

template <typename Message>
bool Parse(grpc::ByteBuffer* bytes, Message* message) {
  grpc::ProtoBufferReader reader(bytes);
  return message->ParseFromZeroCopyStream(&reader);
}

template <typename Message>
absl::Status ReadFlag(grpc::ByteBuffer* bytes) {
  Message message;
  if (!Parse(bytes, &message)) {
    return absl::DataLossError("a reply is malformed");
  }
  return message.ready() ? absl::OkStatus()
                         : absl::UnavailableError("it is not ready");
}

absl::Status ReadModel(grpc::ByteBuffer* bytes, ServerAnswer* answer) {
  inference::ModelMetadataResponse message;
  if (!Parse(bytes, &message)) {
    return absl::DataLossError("a reply is malformed");
  }
  PARM_ASSIGN_OR_RETURN(answer->content, oip::ReadModelMetadata(message));
  return absl::OkStatus();
}

absl::Status ReadInfer(grpc::ByteBuffer* bytes, ServerAnswer* answer) {
  grpc::ProtoBufferReader reader(bytes);
  PARM_ASSIGN_OR_RETURN(answer->content,
                        oip::ReadInferReply(&reader, bytes->Length()));
  return absl::OkStatus();
}

/// What went wrong with a call that the library or the server ended.
ServerAnswer Failure(const Call& call, const grpc::Status& status,
                     size_t max_reply_bytes) {
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  const std::string& sentence = status.error_message();
  const ServerVerdict verdict = VerdictOf(code, sentence);
  ServerAnswer answer{
      .status = absl::Status(
          verdict.code, absl::StrCat("gRPC ", absl::StatusCodeToString(code),
                                     ": ", sentence)),
      .retryable = verdict.retryable};
  // The server knows the deadline too, and may be the first to act on it.
  if ((code == absl::StatusCode::kDeadlineExceeded ||
       code == absl::StatusCode::kCancelled) &&
      Clock::now() + Milliseconds(1) >= call.give_up) {
    answer.end = ExchangeEnd::kTimedOut;
  } else if (code == absl::StatusCode::kUnavailable &&
             (call.question == ServerQuestion::kReady ||
              call.question == ServerQuestion::kInfer)) {
    // A server that has ended looks like one that says so itself: how it is
    // will be asked.
    answer.end = ExchangeEnd::kBroken;
  } else if (code == absl::StatusCode::kResourceExhausted &&
             absl::EndsWith(sentence,
                            absl::StrCat("vs. ", max_reply_bytes, ")"))) {
    answer.end = ExchangeEnd::kTooLarge;
    answer.status = absl::InternalError(sentence);
    answer.retryable = true;
  }
  return answer;
}

class GrpcChannel final : public ServerChannel {
 public:
  explicit GrpcChannel(const ServerChannelParts& parts)
      : server_(*parts.server),
        max_reply_bytes_(parts.all->max_reply_bytes),
        loop_(*parts.loop),
        counters_(*parts.counters),
        kind_(server_.kind),
        stub_(Connect(parts)) {}

  ~GrpcChannel() override {
    *alive_ = false;
    CloseAll();
    MutexLock lock(&library_->mu);
    while (library_->num_calls > 0) library_->changed.Wait(&library_->mu);
  }

  absl::StatusOr<uint64_t> Ask(ServerQuestion question, size_t model,
                               Time give_up, Done done) override;
  absl::StatusOr<uint64_t> Infer(size_t model, oip::InferRequest request,
                                 Time give_up, Done done) override;
  void Drop(uint64_t exchange) override;
  void CloseAll() override;
  void Sweep(Time now) override;
  size_t num_busy() const override { return busy_.size(); }
  ServerKind kind() const override { return kind_; }

 private:
  /// Calls that the library has not let go of.
  struct Library {
    Mutex mu;
    CondVar changed;
    size_t num_calls ABSL_GUARDED_BY(mu) = 0;
  };

  absl::StatusOr<uint64_t> Begin(const std::shared_ptr<Call>& call,
                                 Time give_up, Done done);
  /// Threads: the library's.
  ServerAnswer Understand(Call* call, const grpc::Status& status);
  void OnEnd(const std::shared_ptr<Call>& call, ServerAnswer answer);
  void End(const std::shared_ptr<Call>& call, ServerAnswer answer);
  bool MayBeRunning(uint64_t exchange) const;
  void EndWithdrawn(uint64_t heard_of);

  const OipServerOptions& server_;
  const size_t max_reply_bytes_;
  boost::asio::io_context& loop_;
  ConnectionCounters& counters_;
  ServerKind kind_;
  grpc::GenericStub stub_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  const std::shared_ptr<Library> library_ = std::make_shared<Library>();
  uint64_t last_id_ = 0;
  std::map<uint64_t, std::shared_ptr<Call>> busy_;
};

absl::StatusOr<uint64_t> GrpcChannel::Ask(ServerQuestion question, size_t model,
                                          Time give_up, Done done) {
  const auto call = std::make_shared<Call>();
  call->question = question;
  std::string message;
  if (question == ServerQuestion::kModelReady ||
      question == ServerQuestion::kModelMetadata) {
    // The two requests are the same on the wire.
    inference::ModelMetadataRequest request;
    request.set_name(server_.serves.at(model).server_name);
    request.set_version(server_.serves.at(model).version);
    message = request.SerializeAsString();
  }
  call->request = oip::ToByteBuffer({Buffer::FromString(std::move(message))});
  return Begin(call, give_up, std::move(done));
}

absl::StatusOr<uint64_t> GrpcChannel::Infer(size_t model,
                                            oip::InferRequest request,
                                            Time give_up, Done done) {
  request.model_name = server_.serves.at(model).server_name;
  request.model_version = server_.serves.at(model).version;
  // MLServer makes metadata of its reply of it, and fails.
  if (kind_ == ServerKind::kMlserver && !IsPrintable(request.id)) {
    request.id.clear();
  }
  PARM_ASSIGN_OR_RETURN(const oip::MessagePieces pieces,
                        oip::WriteInferRequestMessage(request));
  const auto call = std::make_shared<Call>();
  call->question = ServerQuestion::kInfer;
  call->request = oip::ToByteBuffer(pieces);
  for (const auto& [name, value] : oip::MetadataOf(request.headers)) {
    call->context.AddMetadata(name, value);
  }
  return Begin(call, give_up, std::move(done));
}

absl::StatusOr<uint64_t> GrpcChannel::Begin(const std::shared_ptr<Call>& call,
                                            Time give_up, Done done) {
  if (busy_.size() >= 2 * size_t{server_.max_in_flight} + 2) {
    ++counters_.refused_full;
    return absl::ResourceExhaustedError(
        "too many calls to the server are under way");
  }
  call->id = ++last_id_;
  call->give_up = give_up;
  call->done = std::move(done);
  call->context.set_deadline(
      std::chrono::system_clock::now() +
      std::chrono::duration_cast<std::chrono::system_clock::duration>(
          give_up - Clock::now()));
  busy_.emplace(call->id, call);
  {
    MutexLock lock(&library_->mu);
    ++library_->num_calls;
  }
  stub_.UnaryCall(
      &call->context, kMethods[static_cast<size_t>(call->question)],
      grpc::StubOptions(), &call->request, &call->reply,
      [this, call, alive = alive_, library = library_](grpc::Status status) {
        // This object lives: its destructor waits for num_calls.
        boost::asio::post(loop_,
                          [this, call, alive,
                           answer = Understand(call.get(), status)]() mutable {
                            if (*alive) OnEnd(call, std::move(answer));
                          });
        MutexLock lock(&library->mu);
        --library->num_calls;
        library->changed.SignalAll();
      });
  return call->id;
}

ServerAnswer GrpcChannel::Understand(Call* call, const grpc::Status& status) {
  call->request.Clear();
  if (!status.ok()) return Failure(*call, status, max_reply_bytes_);
  ServerAnswer answer;
  switch (call->question) {
    case ServerQuestion::kReady:
      answer.status = ReadFlag<inference::ServerReadyResponse>(&call->reply);
      break;
    case ServerQuestion::kModelReady:
      answer.status = ReadFlag<inference::ModelReadyResponse>(&call->reply);
      break;
    case ServerQuestion::kModelMetadata:
      answer.status = ReadModel(&call->reply, &answer);
      break;
    case ServerQuestion::kInfer:
      answer.status = ReadInfer(&call->reply, &answer);
      call->reply.Clear();
      break;
    case ServerQuestion::kMetadata:
      break;  // On the loop, which owns what it tells.
  }
  answer.retryable = !answer.status.ok();
  return answer;
}

void GrpcChannel::OnEnd(const std::shared_ptr<Call>& call,
                        ServerAnswer answer) {
  if (answer.end == ExchangeEnd::kReplied) EndWithdrawn(call->id);
  if (busy_.count(call->id) == 0) return;
  if (call->cancelled && !answer.status.ok()) {
    // Whether the server has let go of it too, its next answer tells.
    call->ended = true;
    return;
  }
  if (call->question == ServerQuestion::kMetadata && answer.status.ok()) {
    inference::ServerMetadataResponse message;
    if (server_.kind == ServerKind::kAuto && Parse(&call->reply, &message)) {
      kind_ = KindCalled(message.name());
    }
  }
  if (call->dropped) {
    if (answer.status.ok()) ++counters_.drained;
    answer = {.end = ExchangeEnd::kDropped};
  }
  End(call, std::move(answer));
}

void GrpcChannel::End(const std::shared_ptr<Call>& call, ServerAnswer answer) {
  busy_.erase(call->id);
  ++counters_.exchanges[static_cast<size_t>(answer.end)];
  const Done done = std::move(call->done);
  done(std::move(answer));
}

// A server runs what came first. Nobody knows what it has begun, and the slot
// of a task that runs must not look free.
bool GrpcChannel::MayBeRunning(uint64_t exchange) const {
  uint32_t num_before = 0;
  for (const auto& [id, call] : busy_) {
    if (id == exchange) break;
    if (call->question == ServerQuestion::kInfer && !call->cancelled) {
      ++num_before;
    }
  }
  return num_before < server_.lanes;
}

void GrpcChannel::Drop(uint64_t exchange) {
  const auto found = busy_.find(exchange);
  if (found == busy_.end() || found->second->dropped) return;
  Call& call = *found->second;
  call.dropped = true;
  if (MayBeRunning(exchange)) return;
  call.cancelled = true;
  call.cancelled_at = last_id_;
  call.context.TryCancel();
}

// `heard_of` was asked for after what is withdrawn had been cancelled, on the
// same connection, and is answered: so the server knows.
void GrpcChannel::EndWithdrawn(uint64_t heard_of) {
  std::vector<std::shared_ptr<Call>> withdrawn;
  for (const auto& [id, call] : busy_) {
    if (call->ended && call->cancelled_at < heard_of) withdrawn.push_back(call);
  }
  for (const std::shared_ptr<Call>& call : withdrawn) {
    ++counters_.withdrawn;
    End(call, {.end = ExchangeEnd::kDropped});
  }
}

void GrpcChannel::CloseAll() {
  for (const auto& [id, call] : busy_) call->context.TryCancel();
  busy_.clear();
}

void GrpcChannel::Sweep(Time now) {
  // The library ends all others at their deadlines.
  std::vector<std::shared_ptr<Call>> late;
  for (const auto& [id, call] : busy_) {
    if (call->ended && now > call->give_up) late.push_back(call);
  }
  for (const std::shared_ptr<Call>& call : late) {
    End(call, {.end = ExchangeEnd::kDropped});
  }
}

}  // namespace

std::unique_ptr<ServerChannel> MakeGrpcChannel(ServerChannelParts parts) {
  return std::make_unique<GrpcChannel>(parts);
}

}  // namespace parm
