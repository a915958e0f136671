#include "frontend/upstream/router_socket.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/frontend/upstream/fake_worker.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

constexpr char kPeer[] = "peer";

absl::Status SendText(RouterSocket& socket, const std::string& peer,
                      const std::string& text) {
  std::vector<ZmqFrame> frames;
  frames.push_back(ZmqFrame::CopyOf(text));
  return socket.Send(peer, absl::MakeSpan(frames));
}

class RouterSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    PARM_ASSERT_OK_AND_ASSIGN(
        socket_, RouterSocket::Open(
                     {.high_water_mark = 2, .max_message_bytes = 1 << 20}));
  }

  // Connections tell of themselves from another thread of libzmq.
  std::optional<ConnectionEvent> NextEvent() {
    const auto give_up =
        std::chrono::steady_clock::now() + std::chrono::seconds(60);
    std::optional<ConnectionEvent> event;
    while (!event && std::chrono::steady_clock::now() < give_up) {
      event = socket_->NextEvent();
      std::this_thread::yield();
    }
    return event;
  }

  std::unique_ptr<RouterSocket> socket_;
};

TEST_F(RouterSocketTest, ReachesNobodyThatWasNotConnected) {
  EXPECT_THAT(SendText(*socket_, kPeer, "hello"),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(RouterSocketTest, RefusesEndpointsThatMakeNoSense) {
  EXPECT_THAT(socket_->Connect("nonsense", kPeer, "us"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(RouterSocketTest, QueuesNoMoreThanItsMark) {
  // Nobody listens there, so that what is sent stays in the queue.
  ASSERT_THAT(socket_->Connect("ipc:///nowhere/at/all", kPeer, "us"), IsOk());
  absl::Status sent = absl::OkStatus();
  int num_sent = 0;
  for (; num_sent < 100 && sent.ok(); ++num_sent) {
    sent = SendText(*socket_, kPeer, "hello");
  }
  EXPECT_THAT(sent, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_LT(num_sent, 10);
}

// LeakSanitizer tells: libzmq loses an event of more than 33 bytes that comes
// when nobody takes it any more.
TEST_F(RouterSocketTest, LeaksNoEventWhenItClosesWhileConnecting) {
  const ScratchDirectory scratch;
  const FakeWorker worker("ipc://" + (scratch / "a-name-of-some-length"));
  for (int i = 0; i < 100; ++i) {
    PARM_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<RouterSocket> socket,
                              RouterSocket::Open({.high_water_mark = 2}));
    ASSERT_THAT(socket->Connect(worker.endpoint(), kPeer, "us"), IsOk());
  }
}

TEST_F(RouterSocketTest, TellsWhenAConnectionBeginsAndEnds) {
  std::optional<ConnectionEvent> event;
  {
    const FakeWorker worker;
    ASSERT_THAT(socket_->Connect(worker.endpoint(), kPeer, "us"), IsOk());
    event = NextEvent();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event->kind, ConnectionEvent::Kind::kConnected);
  }
  const int descriptor = event->descriptor;
  // The worker may have gone before it shook hands, which is told first.
  do {
    event = NextEvent();
    ASSERT_TRUE(event.has_value());
  } while (event->kind == ConnectionEvent::Kind::kRefused);
  EXPECT_EQ(event->kind, ConnectionEvent::Kind::kEnded);
  EXPECT_EQ(event->descriptor, descriptor);
}

}  // namespace
}  // namespace parm
