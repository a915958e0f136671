// Two processes of parm-train that train one network, as a launcher starts
// them; the launcher's store is here.

#include "parity_trainer/training_peers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/gradient_exchange.h"
#include "parity_trainer/host_tensor.h"
#include "parity_trainer/npy.h"
#include "tests/parity_trainer/test_data.h"
#include "tests/parity_trainer/train_program.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"
#include "torch/csrc/distributed/c10d/TCPStore.hpp"

namespace parm {
namespace {

using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pointwise;

/// A socket that listens on a free port of loopback.
class Listener {
 public:
  Listener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    PARM_CHECK(bind(fd_, generic, size) == 0 && listen(fd_, 8) == 0 &&
               getsockname(fd_, generic, &size) == 0);
    port_ = ntohs(address.sin_port);
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() {
    if (fd_ >= 0) close(fd_);
  }

  uint16_t port() const { return port_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
  uint16_t port_ = 0;
};

/// The store that a launcher holds, where the processes find each other.
class Launcher {
 public:
  Launcher() {
    Listener listener;
    c10d::TCPStoreOptions options;
    options.port = port_ = listener.port();
    options.isServer = true;
    options.waitWorkers = false;
    options.masterListenFd = listener.Release();
    store_ = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  }

  std::vector<std::string> Environment(int rank) const {
    return {absl::StrCat("RANK=", rank), "WORLD_SIZE=2",
            "MASTER_ADDR=127.0.0.1", absl::StrCat("MASTER_PORT=", port_),
            "TORCHELASTIC_USE_AGENT_STORE=True"};
  }

 private:
  uint16_t port_ = 0;
  c10::intrusive_ptr<c10d::TCPStore> store_;
};

class TrainingPeersTest : public testing::Test {
 protected:
  TrainingPeersTest() { WriteIdxData(scratch_.path(), 400, 40); }

  std::vector<std::string> Deployed(const std::string& out, int epochs,
                                    std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"deployed",
                                          "--data",
                                          "idx:" + scratch_.path(),
                                          "--minibatch",
                                          "20",
                                          "--epochs",
                                          absl::StrCat(epochs),
                                          "--threads",
                                          "1",
                                          "--out",
                                          scratch_ / out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  // A line per epoch: more than the pipe holds, so that the run waits for its
  // reader and a signal comes in time.
  std::vector<std::string> LongDeployed(
      std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"--limit-train", "100"});
    return Deployed("cut", 120, more);
  }

  HostTensor ProbeOutputs(const std::string& out) const {
    absl::StatusOr<HostTensor> outputs =
        ReadNpy(scratch_ / out + "/probe_outputs.npy", 1 << 20);
    PARM_CHECK(outputs.ok());
    return *std::move(outputs);
  }

  // A network without batch normalisation and no augmentation: the same sums in
  // another order.
  void ExpectTwoLearnWhatOneDoes(const std::vector<std::string>& more) const {
    Program alone(Deployed("one", 3, more));
    ASSERT_EQ(alone.ExitStatus(), 0) << alone.output();
    EXPECT_THAT(alone.output(), HasSubstr(" samples/s in 1 process"));
    const Launcher launcher;
    Program leader(Deployed("two", 3, more), launcher.Environment(0));
    Program follower(Deployed("two", 3, more), launcher.Environment(1));
    ASSERT_EQ(leader.ExitStatus(), 0) << leader.output();
    ASSERT_EQ(follower.ExitStatus(), 0) << follower.output();
    EXPECT_THAT(leader.output(), HasSubstr(" samples/s in 2 processes"));
    EXPECT_THAT(follower.output(), HasSubstr("rank 1 of 2: trained"));
    EXPECT_THAT(follower.output(), Not(HasSubstr("epoch")));
    EXPECT_THAT(ProbeOutputs("two").floats(),
                Pointwise(FloatNear(1e-2F), ProbeOutputs("one").floats()));
    EXPECT_FALSE(std::filesystem::exists(scratch_ / "two.checkpoint"));
  }

  const ScratchDirectory scratch_;
};

TEST_F(TrainingPeersTest, PartsCoverEveryExampleOnce) {
  for (int64_t count = 0; count < 9; ++count) {
    for (int parts = 1; parts < 6; ++parts) {
      int64_t next = 7;
      for (int part = 0; part < parts; ++part) {
        const ExampleRange range =
            PartOf({.begin = 7, .count = count}, part, parts);
        EXPECT_EQ(range.begin, next);
        EXPECT_GE(range.count, count / parts);
        EXPECT_LE(range.count, (count + parts - 1) / parts);
        next += range.count;
      }
      EXPECT_EQ(next, 7 + count);
    }
  }
}

TEST_F(TrainingPeersTest, TwoProcessesLearnWhatOneDoes) {
  ExpectTwoLearnWhatOneDoes({});
}

// Both turn all weights, by the same summed gradients.
TEST_F(TrainingPeersTest, TwoProcessesWithMuonLearnWhatOneDoes) {
  WriteFile(scratch_ / "muon.yaml", "optimizer: muon\nlearning_rate: 0.03\n");
  ExpectTwoLearnWhatOneDoes({"--recipe", scratch_ / "muon.yaml"});
}

// With batch normalisation each process sees statistics of its own part.
TEST_F(TrainingPeersTest, ParityOfTwoProcessesIsAsGood) {
  Program deployed(Deployed("deployed", 3, {"--arch", "cnn"}));
  ASSERT_EQ(deployed.ExitStatus(), 0) << deployed.output();
  const std::vector<std::string> parity = {"parity",
                                           "--data",
                                           "idx:" + scratch_.path(),
                                           "--deployed",
                                           scratch_ / "deployed",
                                           "--scheme",
                                           "tile",
                                           "--minibatch",
                                           "20",
                                           "--epochs",
                                           "4",
                                           "--out",
                                           scratch_ / "parity"};
  const Launcher launcher;
  Program leader(parity, launcher.Environment(0));
  Program follower(parity, launcher.Environment(1));
  ASSERT_EQ(leader.ExitStatus(), 0) << leader.output();
  ASSERT_EQ(follower.ExitStatus(), 0) << follower.output();
  Program evaluate({"evaluate", "--data", "idx:" + scratch_.path(),
                    "--deployed", scratch_ / "deployed", "--parity",
                    scratch_ / "parity", "--require-a-d", "0.9"});
  EXPECT_EQ(evaluate.ExitStatus(), 0) << evaluate.output();
}

TEST_F(TrainingPeersTest, KilledFollowerLeavesACheckpointToResume) {
  {
    const Launcher launcher;
    Program leader(LongDeployed(), launcher.Environment(0));
    Program follower(LongDeployed(), launcher.Environment(1));
    ASSERT_TRUE(leader.ReadUntil("epoch 2/120"));
    follower.Kill();
    EXPECT_EQ(leader.ExitStatus(), 1) << leader.output();
    EXPECT_THAT(leader.output(), HasSubstr("parm-train: rank 0: lost the other "
                                           "training processes"));
    EXPECT_THAT(
        leader.output(),
        HasSubstr("cut.checkpoint: run the same command with --resume"));
  }
  EXPECT_TRUE(std::filesystem::exists(scratch_ / "cut.checkpoint"));
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "cut"));
  const Launcher launcher;
  Program leader(LongDeployed({"--resume"}), launcher.Environment(0));
  Program follower(LongDeployed({"--resume"}), launcher.Environment(1));
  EXPECT_EQ(leader.ExitStatus(), 0) << leader.output();
  EXPECT_EQ(follower.ExitStatus(), 0) << follower.output();
  EXPECT_THAT(leader.output(), Not(HasSubstr("epoch 1/120")));
  EXPECT_TRUE(std::filesystem::exists(scratch_ / "cut/bundle.yaml"));
}

TEST_F(TrainingPeersTest, KilledLeaderEndsTheOthersToo) {
  const Launcher launcher;
  Program leader(LongDeployed(), launcher.Environment(0));
  Program follower(LongDeployed(), launcher.Environment(1));
  ASSERT_TRUE(leader.ReadUntil("epoch 2/120"));
  leader.Kill();
  EXPECT_EQ(follower.ExitStatus(), 1) << follower.output();
  EXPECT_THAT(follower.output(), HasSubstr("rank 0's checkpoint: run the same "
                                           "command with --resume"));
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "cut"));
  // One process may go on where two were.
  Program alone(LongDeployed({"--resume"}));
  EXPECT_EQ(alone.ExitStatus(), 0) << alone.output();
  EXPECT_THAT(alone.output(), Not(HasSubstr("epoch 1/120")));
}

TEST_F(TrainingPeersTest, InterruptOfOneProcessStopsAll) {
  const Launcher launcher;
  Program leader(LongDeployed(), launcher.Environment(0));
  Program follower(LongDeployed(), launcher.Environment(1));
  ASSERT_TRUE(leader.ReadUntil("epoch 2/120"));
  follower.Interrupt();
  EXPECT_EQ(leader.ExitStatus(), 130) << leader.output();
  EXPECT_EQ(follower.ExitStatus(), 130) << follower.output();
  EXPECT_TRUE(std::filesystem::exists(scratch_ / "cut.checkpoint"));
}

TEST_F(TrainingPeersTest, OtherSettingsOfAPeerAreRefused) {
  const Launcher launcher;
  Program leader(Deployed("cut", 3), launcher.Environment(0));
  Program follower(Deployed("cut", 3, {"--seed", "2"}),
                   launcher.Environment(1));
  EXPECT_EQ(follower.ExitStatus(), 1);
  EXPECT_THAT(follower.output(),
              HasSubstr("rank 0 trains with other settings: it has \""));
  EXPECT_EQ(leader.ExitStatus(), 1);
  EXPECT_THAT(leader.output(), HasSubstr("lost the other"));
}

TEST_F(TrainingPeersTest, MoreProcessesThanExamplesAreRefused) {
  const Launcher launcher;
  std::vector<std::string> arguments = Deployed("cut", 1);
  // Not = "1", of which g++ 12 says that it copies too much.
  *std::find(arguments.begin(), arguments.end(), "20") = std::string("1");
  Program leader(arguments, launcher.Environment(0));
  Program follower(arguments, launcher.Environment(1));
  for (Program* program : {&leader, &follower}) {
    EXPECT_EQ(program->ExitStatus(), 1);
    EXPECT_THAT(program->output(),
                HasSubstr("more training processes than examples in a "
                          "minibatch: got 2, want at most 1"));
  }
}

TEST_F(TrainingPeersTest, RankZeroListensWhereNoLauncherDoes) {
  for (int attempt = 0; attempt < 10; ++attempt) {
    const std::string port = absl::StrCat("MASTER_PORT=", Listener().port());
    Program leader(Deployed("two", 2),
                   {"RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=localhost", port});
    Program follower(Deployed("two", 2),
                     {"RANK=1", "WORLD_SIZE=2", "MASTER_ADDR=localhost", port});
    const int status = leader.ExitStatus();
    // Somebody may have taken the port in between.
    if (leader.output().find("cannot listen") != std::string::npos) continue;
    EXPECT_EQ(status, 0) << leader.output();
    EXPECT_EQ(follower.ExitStatus(), 0) << follower.output();
    return;
  }
  ADD_FAILURE() << "found no free port";
}

TEST_F(TrainingPeersTest, PortInUseIsASentence) {
  const Listener taken;
  Program leader(Deployed("two", 2),
                 {"RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1",
                  absl::StrCat("MASTER_PORT=", taken.port())});
  EXPECT_EQ(leader.ExitStatus(), 1);
  EXPECT_THAT(leader.output(), HasSubstr("cannot listen on MASTER_PORT: "));
}

}  // namespace
}  // namespace parm
