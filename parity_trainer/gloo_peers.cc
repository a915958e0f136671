// TrainingPeers over torch's own c10d: a TCPStore at rank 0 to find each other,
// then Gloo's connections between all. The wheel of torch holds Gloo without
// its headers; Debian's libgloo-dev has those.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/torch_tensor.h"
#include "parity_trainer/training_peers.h"
#define USE_C10D_GLOO
#include "torch/csrc/distributed/c10d/PrefixStore.hpp"
#include "torch/csrc/distributed/c10d/ProcessGroupGloo.hpp"
#include "torch/csrc/distributed/c10d/TCPStore.hpp"

namespace parm {
namespace {

using std::chrono::milliseconds;

/// A dead process closes its connections, which shows at once. These are for
/// machines that vanish and processes that hang.
constexpr milliseconds kJoinTimeout = std::chrono::seconds(60);
constexpr milliseconds kCallTimeout = std::chrono::seconds(50);
constexpr milliseconds kMeetTimeout = std::chrono::minutes(10);
constexpr int kBacklog = 128;
constexpr int64_t kMaxBroadcastBytes = int64_t{1} << 33;

bool IsLoopback(const std::string& address) {
  return address == "localhost" || address.rfind("127.", 0) == 0;
}

/// A socket that listens on loopback alone; c10d would take every address.
absl::StatusOr<int> ListenOnLoopback(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd >= 0 &&
      ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
      ::bind(fd, reinterpret_cast<const sockaddr*>(&address),
             sizeof(address)) == 0 &&
      ::listen(fd, kBacklog) == 0) {
    return fd;
  }
  const std::string reason = std::strerror(errno);
  if (fd >= 0) ::close(fd);
  return absl::UnavailableError(
      absl::StrCat("cannot listen on MASTER_PORT: ", port, ": ", reason));
}

absl::Status Gone(absl::string_view what, const std::exception& error) {
  return absl::UnavailableError(
      absl::StrCat("lost the other training processes ", what, ": ",
                   FirstLine(error.what())));
}

class GlooPeers final : public TrainingPeers {
 public:
  GlooPeers(int rank, int size,
            c10::intrusive_ptr<c10d::ProcessGroupGloo> group)
      : TrainingPeers(rank, size), group_(std::move(group)) {}

  absl::Status Meet() override {
    float nothing = 0;
    return Sum(absl::MakeSpan(&nothing, 1), kMeetTimeout);
  }

  absl::Status Sum(absl::Span<float> values) override {
    return Sum(values, kCallTimeout);
  }

  absl::Status Broadcast(std::string* bytes) override {
    // The length goes as an integer: floats count no further than 2^24.
    int64_t length = static_cast<int64_t>(bytes->size());
    PARM_RETURN_IF_ERROR(
        Broadcast(torch::from_blob(&length, {1}, torch::kLong)));
    if (length < 0 || length > kMaxBroadcastBytes) {
      return absl::DataLossError(absl::StrCat("rank 0 sends too much: got ",
                                              length, " bytes, want at most ",
                                              kMaxBroadcastBytes));
    }
    bytes->resize(static_cast<size_t>(length));
    if (length == 0) return absl::OkStatus();
    return Broadcast(torch::from_blob(bytes->data(), {length}, torch::kByte));
  }

 private:
  absl::Status Sum(absl::Span<float> values, milliseconds timeout) {
    try {
      std::vector<at::Tensor> tensors = {torch::from_blob(
          values.data(), {static_cast<int64_t>(values.size())})};
      c10d::AllreduceOptions options;
      options.reduceOp = c10d::ReduceOp::SUM;
      options.timeout = timeout;
      group_->allreduce(tensors, options)->wait();
      return absl::OkStatus();
    } catch (const std::exception& error) {
      return Gone("while training", error);
    }
  }

  absl::Status Broadcast(const at::Tensor& tensor) {
    try {
      std::vector<at::Tensor> tensors = {tensor};
      c10d::BroadcastOptions options;
      options.rootRank = 0;
      options.timeout = kCallTimeout;
      group_->broadcast(tensors, options)->wait();
      return absl::OkStatus();
    } catch (const std::exception& error) {
      return Gone("at the start", error);
    }
  }

  const c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrainingPeers>> JoinPeers(
    const PeerOptions& options) {
  if (options.num_peers == 1) return nullptr;
  // Gloo writes to a dead peer's connection as to a file, and counts on its
  // process to ignore the signal, as Python does.
  std::signal(SIGPIPE, SIG_IGN);
  c10d::TCPStoreOptions store_options;
  store_options.port = options.port;
  store_options.isServer = options.rank == 0 && !options.launcher_listens;
  store_options.numWorkers = static_cast<size_t>(options.num_peers);
  store_options.timeout = kJoinTimeout;
  if (store_options.isServer && IsLoopback(options.address)) {
    PARM_ASSIGN_OR_RETURN(store_options.masterListenFd,
                          ListenOnLoopback(options.port));
  }
  try {
    // The launcher's store holds keys of its own.
    const auto store = c10::make_intrusive<c10d::PrefixStore>(
        "parm-train",
        c10::make_intrusive<c10d::TCPStore>(options.address, store_options));
    const auto group_options =
        c10d::ProcessGroupGloo::Options::create(kJoinTimeout);
    const char* const interface = std::getenv("GLOO_SOCKET_IFNAME");
    group_options->devices.push_back(
        interface != nullptr && *interface != '\0'
            ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
        : IsLoopback(options.address)
            ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
            : c10d::ProcessGroupGloo::createDefaultDevice());
    return std::make_unique<GlooPeers>(
        options.rank, options.num_peers,
        c10::make_intrusive<c10d::ProcessGroupGloo>(
            store, options.rank, options.num_peers, group_options));
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat("training processes did not all meet: rank ", options.rank,
                     " of ", options.num_peers, " at ", options.address, ":",
                     options.port, ": ", FirstLine(error.what())));
  }
}

}  // namespace parm
