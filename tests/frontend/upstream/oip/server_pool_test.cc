#include "frontend/upstream/oip/server_pool.h"

#include <boost/asio/post.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "frontend/upstream/oip/oip_upstream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/upstream/oip/fake_model_server.h"
#include "tests/support/matchers.h"
#include "tests/support/run_loop.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Addresses = absl::StatusOr<std::vector<std::string>>;

// Names resolve to what a test says.
class FakeResolver final : public NameResolver {
 public:
  struct Book {
    std::map<std::string, Addresses> addresses;
    int num_asked = 0;
  };
  FakeResolver(boost::asio::io_context& loop, Book* book)
      : loop_(loop), book_(*book) {}
  ~FakeResolver() override { *alive_ = false; }

  void Resolve(const std::string& name, Done done) override {
    ++book_.num_asked;
    const auto found = book_.addresses.find(name);
    Addresses answer = absl::NotFoundError("no such name");
    if (found != book_.addresses.end()) answer = found->second;
    boost::asio::post(loop_, [alive = alive_, answer = std::move(answer),
                              done = std::move(done)]() mutable {
      if (*alive) done(std::move(answer));
    });
  }

 private:
  boost::asio::io_context& loop_;
  Book& book_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// What became of each place, by its worker.
class PlacesListener : public UpstreamListener {
 public:
  struct Place {
    std::string endpoint;
    std::vector<wire::Hello> hellos;
    int draining = 0;
    int stays = 0;
    int left = 0;
    int lost = 0;
    std::vector<WorkerReply> replies;
  };
  void OnPlaced(WorkerId worker, const std::string& endpoint) override {
    places[Raw(worker)] = {.endpoint = endpoint};
  }
  void OnLeft(WorkerId worker) override { ++places[Raw(worker)].left; }
  void OnHello(WorkerId worker, const wire::Hello& hello) override {
    places[Raw(worker)].hellos.push_back(hello);
  }
  void OnHelloRefused(WorkerId, const std::string&) override {}
  void OnLost(WorkerId worker) override { ++places[Raw(worker)].lost; }
  void OnHeartbeat(WorkerId, uint32_t, uint32_t) override {}
  void OnDraining(WorkerId worker) override { ++places[Raw(worker)].draining; }
  void OnStays(WorkerId worker) override { ++places[Raw(worker)].stays; }
  void OnStarted(WorkerId, TaskId) override {}
  void OnReply(WorkerId worker, WorkerReply reply) override {
    places[Raw(worker)].replies.push_back(std::move(reply));
  }

  std::map<uint32_t, Place> places;
};

// Servers at 127.0.0.1, 127.0.0.2 and so on, all at one port, whose WorkerIds
// begin at 3. One entry stands for them.
class ServerPoolTest : public ::testing::Test {
 protected:
  using Place = PlacesListener::Place;

  ServerPoolTest() {
    StartServer(1);
    options_.first_worker = 3;
    options_.heartbeat_interval = Milliseconds(2);
    options_.max_backoff = Milliseconds(4);
    options_.resolve_interval = Milliseconds(4);
    options_.join_patience = Milliseconds(60'000);
  }
  void TearDown() override { upstream_.reset(); }

  static std::string Address(int number) {
    return absl::StrCat("127.0.0.", number);
  }
  void StartServer(int number) {
    const uint16_t port = servers_.empty() ? 0 : port_;
    servers_[number] =
        std::make_unique<FakeModelServer>(loop_, port, Address(number));
    if (port == 0) port_ = servers_[number]->port();
  }

  OipServerOptions Entry() const {
    return {.max_in_flight = 4,
            .serves = {{.name = "ours", .server_name = "m"}}};
  }
  void StartByName(const std::vector<int>& numbers, uint32_t max_servers = 64) {
    OipServerOptions entry = Entry();
    entry.endpoint = NameEndpoint();
    entry.url = *ParseServerUrl(entry.endpoint);
    entry.max_servers = max_servers;
    Resolve(numbers);
    Start({entry});
  }
  void Start(std::vector<OipServerOptions> entries) {
    options_.servers = std::move(entries);
    PARM_ASSERT_OK_AND_ASSIGN(
        upstream_,
        OipUpstream::Create(loop_, options_, &listener_,
                            std::make_unique<FakeResolver>(loop_, &book_)));
  }

  std::string NameEndpoint() const { return absl::StrCat("http://n:", port_); }
  std::string Label(int number) const {
    return absl::StrCat(NameEndpoint(), " (", Address(number), ")");
  }
  void Resolve(const std::vector<int>& numbers) {
    std::vector<std::string> addresses;
    for (const int number : numbers) addresses.push_back(Address(number));
    book_.addresses["n"] = std::move(addresses);
  }

  bool RunUntil(const std::function<bool()>& done) {
    return RunLoopUntil(loop_, done);
  }
  bool RunUntilUp(size_t count) {
    return RunUntil([&] {
      size_t up = 0;
      for (const auto& [worker, place] : listener_.places) {
        up += place.hellos.empty() || place.left > 0 ? 0 : 1;
      }
      return up == count;
    });
  }

  // The worker whose server this is or was.
  uint32_t WorkerAt(int number) {
    uint32_t found = 0;
    for (const auto& [worker, place] : listener_.places) {
      if (place.endpoint == Label(number)) found = worker;
    }
    EXPECT_NE(found, 0U) << number;
    return found;
  }
  Place& At(int number) { return listener_.places[WorkerAt(number)]; }

  bool AloneIs(int number) {
    int there = 0;
    bool found = false;
    for (const auto& [worker, place] : listener_.places) {
      if (place.left > 0) continue;
      ++there;
      found |= !place.hellos.empty() && place.endpoint == Label(number);
    }
    return there == 1 && found;
  }

  void Send(uint32_t worker, uint64_t task) {
    const float values[] = {1, 2};
    const std::string bytes(reinterpret_cast<const char*>(values), 8);
    const oip::Tensor input{
        .spec = {.name = "x", .datatype = DataType::kFp32, .shape = {1, 2}},
        .data = Buffer::FromString(bytes)};
    EXPECT_THAT(
        upstream_->SendInfer(
            WorkerId{worker},
            {.task = TaskId{task},
             .bundle_sha256 =
                 listener_.places[worker].hellos.back().bundles(0).sha256(),
             .budget = Milliseconds(60'000)},
            absl::MakeConstSpan(&input, 1)),
        IsOk());
  }
  const OipCounters& counters() { return upstream_->counters(); }

  ScratchDirectory scratch_;
  boost::asio::io_context loop_;
  uint16_t port_ = 0;
  std::map<int, std::unique_ptr<FakeModelServer>> servers_;
  PlacesListener listener_;
  FakeResolver::Book book_;
  OipOptions options_;
  std::unique_ptr<OipUpstream> upstream_;
};

TEST_F(ServerPoolTest, NameWithTwoAddressesIsTwoServers) {
  StartServer(2);
  std::map<int, std::string> hosts;
  for (const int number : {1, 2}) {
    servers_[number]->on_infer = [&hosts, number](
                                     FakeModelServer::Request request,
                                     const FakeModelServer::Peer& peer) {
      hosts[number] = request.headers["host"];
      peer.Send(BinaryAnswer("12345678"));
    };
  }
  StartByName({2, 1});
  ASSERT_TRUE(RunUntilUp(2));
  EXPECT_EQ(WorkerAt(1), 3U);
  EXPECT_EQ(WorkerAt(2), 4U);
  EXPECT_EQ(At(2).hellos[0].worker_id(),
            absl::StrCat("triton n:", port_, " (127.0.0.2)"));
  Send(3, 1);
  Send(4, 2);
  ASSERT_TRUE(RunUntil([&] { return hosts.size() == 2; }));
  // Not its address: servers may go by the name.
  EXPECT_EQ(hosts[1], absl::StrCat("n:", port_));
  EXPECT_EQ(hosts[2], absl::StrCat("n:", port_));
  EXPECT_EQ(counters().servers_joined, 2U);
  ASSERT_TRUE(RunUntil([&] { return counters().names_unchanged > 3; }));
  EXPECT_EQ(counters().names_changed, 1U);
}

TEST_F(ServerPoolTest, VanishedServerFinishesWhatItHas) {
  StartServer(2);
  StartServer(3);
  std::vector<FakeModelServer::Peer> held;
  servers_[1]->on_infer = [&](const FakeModelServer::Request&,
                              const FakeModelServer::Peer& peer) {
    held.push_back(peer);
  };
  StartByName({1, 2});
  ASSERT_TRUE(RunUntilUp(2));
  const uint32_t leaving = WorkerAt(1);
  Send(leaving, 1);
  ASSERT_TRUE(RunUntil([&] { return held.size() == 1; }));
  const int connections = servers_[2]->num_connections();
  Resolve({2, 3});
  ASSERT_TRUE(RunUntilUp(3));
  ASSERT_TRUE(RunUntil([&] { return At(1).draining == 1; }));
  EXPECT_EQ(At(1).left, 0) << "it has a task";
  held[0].Send(BinaryAnswer("12345678"));
  ASSERT_TRUE(RunUntil([&] { return At(1).left == 1; }));
  ASSERT_EQ(At(1).replies.size(), 1U);
  EXPECT_EQ(At(1).replies[0].status, wire::OK);
  EXPECT_EQ(At(1).lost, 0);
  // The one that stays has not noticed.
  EXPECT_EQ(At(2).hellos.size(), 1U);
  EXPECT_EQ(At(2).draining, 0);
  EXPECT_EQ(servers_[2]->num_connections(), connections);
  EXPECT_THAT(upstream_->SendInfer(WorkerId{leaving}, {.task = TaskId{2}}, {}),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(upstream_->SendCancel(WorkerId{leaving}, TaskId{2}), IsOk());
  EXPECT_THAT(upstream_->SendProbe(WorkerId{leaving}), IsOk());
  EXPECT_EQ(counters().servers_left, 1U);
}

TEST_F(ServerPoolTest, VacantPlaceIsAnothersLater) {
  StartServer(2);
  StartByName({1}, /*max_servers=*/1);
  ASSERT_TRUE(RunUntilUp(1));
  for (int round = 0; round < 3; ++round) {
    for (const int number : {2, 1}) {
      Resolve({number});
      ASSERT_TRUE(RunUntil([&] { return AloneIs(number); }));
    }
  }
  EXPECT_EQ(listener_.places.size(), 2U) << "two places, again and again";
  EXPECT_EQ(counters().servers_joined, 7U);
  EXPECT_EQ(counters().servers_left, 6U);
}

TEST_F(ServerPoolTest, UnresolvedNameKeepsItsServers) {
  StartByName({1});
  ASSERT_TRUE(RunUntilUp(1));
  book_.addresses.erase("n");
  ASSERT_TRUE(RunUntil([&] { return counters().names_failed > 3; }));
  book_.addresses["n"] = std::vector<std::string>();
  const uint64_t failed = counters().names_failed;
  ASSERT_TRUE(RunUntil([&] { return counters().names_failed > failed + 3; }));
  EXPECT_EQ(At(1).draining, 0);
  EXPECT_EQ(counters().servers_left, 0U);
  EXPECT_EQ(counters().names_changed, 1U);
}

TEST_F(ServerPoolTest, NameThatResolvesLaterIsServedThen) {
  StartByName({1});
  book_.addresses.erase("n");
  ASSERT_TRUE(RunUntil([&] { return counters().names_failed > 3; }));
  EXPECT_THAT(listener_.places, IsEmpty());
  Resolve({1});
  EXPECT_TRUE(RunUntilUp(1));
}

TEST_F(ServerPoolTest, OldServersServeOnUntilNewOnesHaveCome) {
  StartByName({1});
  ASSERT_TRUE(RunUntilUp(1));
  Resolve({2});  // nobody is there yet
  ASSERT_TRUE(RunUntil([&] { return counters().servers_joined == 2; }));
  const int health = servers_[1]->num_health;
  ASSERT_TRUE(RunUntil([&] { return servers_[1]->num_health > health + 5; }));
  EXPECT_EQ(At(1).draining, 0);
  StartServer(2);
  ASSERT_TRUE(RunUntil([&] { return At(1).left == 1; }));
  EXPECT_EQ(At(2).hellos.size(), 1U);
}

TEST_F(ServerPoolTest, OldServersWaitForNewOnesNoLongerThanAllowed) {
  options_.join_patience = Milliseconds(1);
  StartByName({1});
  ASSERT_TRUE(RunUntilUp(1));
  Resolve({2});
  EXPECT_TRUE(RunUntil([&] { return At(1).left == 1; }));
}

TEST_F(ServerPoolTest, ServerThatComesBackWhileItLeavesStays) {
  std::vector<FakeModelServer::Peer> held;
  servers_[1]->on_infer = [&](const FakeModelServer::Request&,
                              const FakeModelServer::Peer& peer) {
    held.push_back(peer);
  };
  StartServer(2);
  StartByName({1, 2});
  ASSERT_TRUE(RunUntilUp(2));
  Send(WorkerAt(1), 1);
  ASSERT_TRUE(RunUntil([&] { return held.size() == 1; }));
  Resolve({2});
  ASSERT_TRUE(RunUntil([&] { return At(1).draining == 1; }));
  Resolve({1, 2});
  ASSERT_TRUE(RunUntil([&] { return At(1).hellos.size() == 2; }));
  // Else its answers would be those of another process.
  EXPECT_EQ(At(1).hellos[1].instance_nonce(), At(1).hellos[0].instance_nonce());
  EXPECT_EQ(At(1).stays, 1);
  held[0].Send(BinaryAnswer("12345678"));
  ASSERT_TRUE(RunUntil([&] { return At(1).replies.size() == 1; }));
  EXPECT_EQ(At(1).left, 0);
  EXPECT_EQ(counters().servers_joined, 2U);
}

TEST_F(ServerPoolTest, ServerThatWasNotReadyHasLostWhatItHad) {
  StartByName({1});
  ASSERT_TRUE(RunUntilUp(1));
  servers_[1]->ready_status = 400;
  ASSERT_TRUE(RunUntil([&] { return At(1).draining == 1; }));
  servers_[1]->ready_status = 200;
  ASSERT_TRUE(RunUntil([&] { return At(1).hellos.size() == 2; }));
  EXPECT_NE(At(1).hellos[1].instance_nonce(), At(1).hellos[0].instance_nonce());
  EXPECT_EQ(At(1).stays, 0);
}

TEST_F(ServerPoolTest, ResolvesSoonWhileAServerIsAway) {
  options_.resolve_interval = Milliseconds(3'600'000);
  StartServer(2);
  StartByName({1});
  ASSERT_TRUE(RunUntilUp(1));
  Resolve({2});
  servers_[1].reset();
  ASSERT_TRUE(RunUntil([&] { return At(1).left == 1; }));
  EXPECT_TRUE(RunUntilUp(1));
  EXPECT_EQ(At(1).lost, 1);
}

TEST_F(ServerPoolTest, SetHasNoMoreThanMaxServers) {
  StartServer(2);
  StartByName({1, 2, 3}, /*max_servers=*/2);
  ASSERT_TRUE(RunUntilUp(2));
  ASSERT_TRUE(RunUntil([&] { return counters().names_unchanged > 3; }));
  EXPECT_EQ(counters().sets_over_limit, 1U);
  EXPECT_EQ(counters().servers_joined, 2U);
  Resolve({1, 2});
  ASSERT_TRUE(RunUntil([&] { return counters().names_changed == 2; }));
  Resolve({1, 2, 3});
  ASSERT_TRUE(RunUntil([&] { return counters().sets_over_limit == 2; }));
}

// ---- Files of endpoints --------------------------------------------------

class EndpointsFileTest : public ServerPoolTest {
 protected:
  OipServerOptions FileEntry() const {
    OipServerOptions entry = Entry();
    entry.endpoints_file = path_;
    return entry;
  }
  std::string Url(int number) const {
    return absl::StrCat("http://", Address(number), ":", port_);
  }
  // 0: not there.
  uint32_t WorkerOf(const std::string& endpoint) {
    for (const auto& [worker, place] : listener_.places) {
      if (place.endpoint == endpoint && place.left == 0) return worker;
    }
    return 0;
  }

  const std::string path_ = scratch_ / "servers.txt";
};

TEST_F(EndpointsFileTest, ReadsAnEndpointALine) {
  OipServerOptions entry = FileEntry();
  PARM_ASSERT_OK_AND_ASSIGN(
      const std::vector<ServerEndpoint> endpoints,
      ParseEndpointsFile(entry,
                         "# ours\n\n  http://10.0.0.9:8000  # rack 2\r\n"
                         "grpc://name:8001"));
  ASSERT_EQ(endpoints.size(), 2U);
  EXPECT_EQ(endpoints[0].text, "http://10.0.0.9:8000");
  EXPECT_EQ(endpoints[0].line, 3);
  EXPECT_TRUE(endpoints[0].url.numeric);
  EXPECT_EQ(endpoints[1].url.protocol, ServerProtocol::kGrpc);
  EXPECT_FALSE(endpoints[1].url.numeric);
}

TEST_F(EndpointsFileTest, SaysWhatIsWrongWithItsLine) {
  OipServerOptions entry = FileEntry();
  entry.protocol = ServerProtocol::kHttp;
  entry.max_servers = 2;
  for (const auto& [text, error] :
       {std::pair{"\ntcp://a:1\n", ":2: got \"tcp://a:1\""},
        {"http://a b\n", ":1: got \"http://a b\""},
        {"http://a\ngrpc://b:1\n", ":2: protocol differs"},
        {"http://a\n#\nhttp://a\n", ":3: endpoint given twice: http://a"},
        {"http://a\nhttp://b\nhttp://c\n", ":3: more endpoints than"},
        {"# none\n", ":2: no endpoint"},
        {"", ":1: no endpoint"}}) {
    SCOPED_TRACE(text);
    EXPECT_THAT(ParseEndpointsFile(entry, text),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(absl::StrCat(path_, error))));
  }
  EXPECT_THAT(ReadEndpointsFile(entry), StatusIs(absl::StatusCode::kNotFound));
  WriteFile(path_, std::string((1 << 20) + 1, '#'));
  EXPECT_THAT(ReadEndpointsFile(entry),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(EndpointsFileTest, EndpointsComeAndGoWithTheFile) {
  StartServer(2);
  StartServer(3);
  WriteFile(path_, absl::StrCat(Url(1), "\n", Url(2), "\n"));
  Start({FileEntry()});
  ASSERT_TRUE(RunUntilUp(2));
  const uint32_t stays = WorkerOf(Url(2));
  WriteFile(path_, absl::StrCat(Url(3), "\n", Url(2), "\n"));
  upstream_->RereadEndpoints(0);
  ASSERT_TRUE(RunUntil([&] { return counters().servers_left == 1; }));
  EXPECT_EQ(WorkerOf(Url(1)), 0U);
  EXPECT_EQ(WorkerOf(Url(2)), stays);
  EXPECT_EQ(listener_.places[stays].hellos.size(), 1U);
  EXPECT_EQ(listener_.places[WorkerOf(Url(3))].hellos.size(), 1U);
  EXPECT_EQ(counters().endpoints_files_applied, 1U);
}

TEST_F(EndpointsFileTest, LinesMayBeNames) {
  StartServer(2);
  StartServer(3);
  Resolve({2, 3});
  WriteFile(path_, absl::StrCat(Url(1), "\n", NameEndpoint(), "\n"));
  Start({FileEntry()});
  ASSERT_TRUE(RunUntilUp(3));
  WriteFile(path_, NameEndpoint());
  upstream_->RereadEndpoints(0);
  ASSERT_TRUE(RunUntilUp(2));
  EXPECT_EQ(WorkerOf(Url(1)), 0U);
}

TEST_F(EndpointsFileTest, BadFileKeepsTheServers) {
  StartServer(2);
  WriteFile(path_, Url(1));
  OipServerOptions fixed = Entry();
  fixed.endpoint = Url(2);
  fixed.url = *ParseServerUrl(fixed.endpoint);
  Start({fixed, FileEntry()});
  ASSERT_TRUE(RunUntil([&] {
    return listener_.places.size() == 2 &&
           !listener_.places[3].hellos.empty() &&
           !listener_.places[4].hellos.empty();
  }));
  for (const std::string& text : {std::string("http://"), std::string(),
                                  absl::StrCat(Url(1), "\n", Url(2))}) {
    SCOPED_TRACE(text);
    WriteFile(path_, text);
    upstream_->RereadEndpoints(1);
  }
  EXPECT_EQ(counters().endpoints_files_refused, 3U);
  EXPECT_EQ(counters().endpoints_files_applied, 0U);
  EXPECT_EQ(listener_.places[4].draining, 0);
  EXPECT_EQ(counters().servers_joined, 1U);
}

TEST_F(EndpointsFileTest, WrongFileRefusesTheStart) {
  WriteFile(path_, "nonsense\n");
  options_.servers = {FileEntry()};
  EXPECT_THAT(OipUpstream::Create(loop_, options_, &listener_),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("servers.txt:1: got")));
}

// ---- Which servers a name stands for -------------------------------------

std::vector<std::string> AddressesAt(const std::vector<std::string>& found,
                                     const std::vector<std::string>& before) {
  const NamedServers servers = ServersAt(found, {.addresses = before});
  EXPECT_FALSE(servers.by_name);
  return servers.addresses;
}

TEST(NameResolverTest, OneAddressOfEachFamilyIsOneServer) {
  const NamedServers localhost = ServersAt({"::1", "127.0.0.1"}, {});
  EXPECT_TRUE(localhost.by_name);
  EXPECT_THAT(localhost.addresses, IsEmpty());
  EXPECT_EQ(ServersAt({"127.0.0.1", "::1", "127.0.0.1"}, localhost), localhost);
}

TEST(NameResolverTest, ServersAreOfOneFamily) {
  EXPECT_THAT(AddressesAt({"10.0.0.2", "fd00::1", "10.0.0.1"}, {}),
              ElementsAre("10.0.0.1", "10.0.0.2"));
  EXPECT_THAT(AddressesAt({"fd00::2", "10.0.0.2", "fd00::1", "10.0.0.1"}, {}),
              ElementsAre("fd00::1", "fd00::2"));
  // It stays the same although the order is another.
  EXPECT_THAT(
      AddressesAt({"fd00::2", "10.0.0.2", "fd00::1", "10.0.0.1"}, {"10.0.0.7"}),
      ElementsAre("10.0.0.1", "10.0.0.2"));
  EXPECT_THAT(AddressesAt({"fd00::2"}, {"10.0.0.7"}), ElementsAre("fd00::2"));
  EXPECT_THAT(AddressesAt({"10.0.0.1", "10.0.0.1"}, {}),
              ElementsAre("10.0.0.1"));
  EXPECT_EQ(ServersAt({}, {}), NamedServers());
}

TEST(NameResolverTest, SystemResolvesAddressesAndRefusesNonsense) {
  boost::asio::io_context loop;
  const std::unique_ptr<NameResolver> resolver = MakeSystemResolver(loop);
  std::map<std::string, Addresses> found;
  for (const std::string name : {"127.0.0.1", "no such name.invalid"}) {
    resolver->Resolve(name, [&found, name](Addresses addresses) {
      found.emplace(name, std::move(addresses));
    });
  }
  EXPECT_THAT(found, IsEmpty());
  loop.run();
  EXPECT_THAT(found.at("127.0.0.1"), IsOkAndHolds(ElementsAre("127.0.0.1")));
  EXPECT_THAT(found.at("no such name.invalid"),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace parm
