#include "experiments/load/grpc_client.h"

#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "boost/asio/ip/address.hpp"
#include "proto/oip/grpc_service.pb.h"
#include "proto/oip/metadata_message.h"

namespace parm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kInferMethod[] = "/inference.GRPCInferenceService/ModelInfer";
constexpr char kMetadataMethod[] =
    "/inference.GRPCInferenceService/ModelMetadata";
/// How late a reply may be handled; when it came is known.
constexpr Duration kPollInterval = Milliseconds(1);
/// A deadline's end may be noticed a little before it by another clock.
constexpr Duration kDeadlineSlack = Milliseconds(1);

std::chrono::system_clock::time_point FromNow(Duration duration) {
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(
             duration);
}

absl::StatusOr<std::string> TargetOf(const LoadClientOptions& options) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(options.host, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat(
        "host: got ", options.host, ", want an IPv4 or IPv6 address"));
  }
  return address.is_v6()
             ? absl::StrCat("ipv6:[", options.host, "]:", options.port)
             : absl::StrCat("ipv4:", options.host, ":", options.port);
}

std::shared_ptr<grpc::Channel> OpenChannel(const LoadClientOptions& options,
                                           const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(
      static_cast<int>(std::min<uint64_t>(options.max_reply_bytes, INT_MAX)));
  arguments.SetMaxSendMessageSize(-1);
  // Channels to one address would share a connection otherwise.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // The environment's proxy is for the world outside.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A query is sent once.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(),
                                   arguments);
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

std::string Describe(const grpc::Status& status) {
  return absl::StrCat("gRPC ",
                      absl::StatusCodeToString(
                          static_cast<absl::StatusCode>(status.error_code())),
                      ": ", status.error_message());
}

}  // namespace

class GrpcClient::Calls {
 public:
  Calls(const LoadClientOptions& options, const std::string& target,
        Listener* listener)
      : options_(options), listener_(listener) {
    for (int i = 0; i < options.initial_connections; ++i) {
      channels_.push_back(OpenChannel(options, target));
      stubs_.push_back(std::make_unique<grpc::GenericStub>(channels_.back()));
    }
    receiver_ = std::thread([this] { Receive(); });
  }
  ~Calls() {
    for (const auto& [token, call] : under_way_) call->context.TryCancel();
    queue_.Shutdown();
    receiver_.join();
  }

  bool Connect(Time until);
  bool Send(Token token, absl::string_view head, absl::string_view body);
  void Poll();
  int num_in_flight() const { return static_cast<int>(under_way_.size()); }

 private:
  /// The library's from Send until the receiver has noted its end.
  struct Call {
    Token token = 0;
    Time started{};
    Time ended{};
    grpc::ClientContext context;
    grpc::ByteBuffer reply;
    grpc::Status status;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
  };

  void Receive();
  void End(Call* call);

  const LoadClientOptions options_;
  Listener* const listener_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  size_t next_stub_ = 0;
  grpc::CompletionQueue queue_;
  // At most max_connections.
  std::unordered_map<Token, std::unique_ptr<Call>> under_way_;

  Mutex mu_;  // Guards what follows.
  std::vector<Call*> ended_ ABSL_GUARDED_BY(mu_);
  std::thread receiver_;
};

bool GrpcClient::Calls::Connect(Time until) {
  for (const auto& channel : channels_) channel->GetState(true);
  return std::all_of(
      channels_.begin(), channels_.end(), [until](const auto& channel) {
        return channel->WaitForConnected(FromNow(until - Clock::now()));
      });
}

bool GrpcClient::Calls::Send(Token token, absl::string_view head,
                             absl::string_view body) {
  if (num_in_flight() >= options_.max_connections) return false;
  auto owned = std::make_unique<Call>();
  Call* const call = owned.get();
  under_way_.emplace(token, std::move(owned));
  // They stay, so the library need not copy them.
  const grpc::Slice slices[] = {
      {head.data(), head.size(), grpc::Slice::STATIC_SLICE},
      {body.data(), body.size(), grpc::Slice::STATIC_SLICE}};
  const grpc::ByteBuffer request(slices, std::size(slices));
  call->token = token;
  call->started = Clock::now();
  call->context.set_deadline(FromNow(options_.reply_timeout));
  grpc::GenericStub& stub = *stubs_[next_stub_];
  next_stub_ = (next_stub_ + 1) % stubs_.size();
  call->reader =
      stub.PrepareUnaryCall(&call->context, kInferMethod, request, &queue_);
  call->reader->StartCall();
  call->reader->Finish(&call->reply, &call->status, call);
  listener_->OnSent(token, Clock::now());
  return true;
}

void GrpcClient::Calls::Receive() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
    auto* const call = static_cast<Call*>(tag);
    call->ended = Clock::now();
    MutexLock lock(&mu_);
    ended_.push_back(call);
  }
}

void GrpcClient::Calls::Poll() {
  std::vector<Call*> ended;
  {
    MutexLock lock(&mu_);
    ended.swap(ended_);
  }
  for (Call* const call : ended) End(call);
}

void GrpcClient::Calls::End(Call* call) {
  const auto node = under_way_.extract(call->token);
  const grpc::Status& status = call->status;
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED &&
      call->ended - call->started >= options_.reply_timeout - kDeadlineSlack) {
    listener_->OnNoReply(call->token, call->ended,
                         absl::DeadlineExceededError("no reply in time"));
    return;
  }
  ServerReply reply;
  if (status.ok()) {
    reply.body = BytesOf(call->reply);
    const auto& metadata = call->context.GetServerTrailingMetadata();
    const auto source = metadata.find("x-parm-source");
    if (source != metadata.end()) {
      reply.source.assign(source->second.data(), source->second.size());
    }
  } else {
    reply.error = Describe(status);
    reply.shed = status.error_code() == grpc::StatusCode::UNAVAILABLE;
  }
  listener_->OnReply(call->token, call->ended, std::move(reply));
}

GrpcClient::GrpcClient(std::unique_ptr<Calls> calls)
    : calls_(std::move(calls)) {}
GrpcClient::~GrpcClient() = default;

absl::StatusOr<std::unique_ptr<GrpcClient>> GrpcClient::Create(
    const LoadClientOptions& options, Listener* listener) {
  PARM_ASSIGN_OR_RETURN(const std::string target, TargetOf(options));
  return std::unique_ptr<GrpcClient>(
      new GrpcClient(std::make_unique<Calls>(options, target, listener)));
}

bool GrpcClient::Connect(Time until) { return calls_->Connect(until); }
bool GrpcClient::Send(Token token, absl::string_view head,
                      absl::string_view body) {
  return calls_->Send(token, head, body);
}
int GrpcClient::num_in_flight() const { return calls_->num_in_flight(); }
void GrpcClient::Poll() { calls_->Poll(); }

void GrpcClient::RunUntil(Time until) {
  const Time now = Clock::now();
  if (until > now) {
    std::this_thread::sleep_until(std::min(until, now + kPollInterval));
  }
  calls_->Poll();
}

absl::StatusOr<oip::ModelMetadata> GrpcModelMetadata(
    const LoadClientOptions& options, absl::string_view model) {
  PARM_ASSIGN_OR_RETURN(const std::string target, TargetOf(options));
  inference::ModelMetadataRequest question;
  question.set_name(std::string(model));
  const grpc::Slice slice(question.SerializeAsString());
  const grpc::ByteBuffer request(&slice, 1);
  grpc::GenericStub stub(OpenChannel(options, target));
  grpc::ClientContext context;
  context.set_deadline(FromNow(options.reply_timeout));
  grpc::CompletionQueue queue;
  const auto reader =
      stub.PrepareUnaryCall(&context, kMetadataMethod, request, &queue);
  grpc::ByteBuffer reply;
  grpc::Status status;
  reader->StartCall();
  reader->Finish(&reply, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) {
    return absl::UnavailableError(Describe(status));
  }
  inference::ModelMetadataResponse answer;
  grpc::ProtoBufferReader bytes(&reply);
  if (!answer.ParseFromZeroCopyStream(&bytes)) {
    return absl::DataLossError("model's metadata is malformed");
  }
  return oip::ReadModelMetadata(answer);
}

}  // namespace parm
