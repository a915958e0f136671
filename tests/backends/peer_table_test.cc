#include "backends/peer_table.h"

#include "gtest/gtest.h"

namespace parm {
namespace {

constexpr Time kStart{};

TEST(PeerTableTest, SameRoutingIdIsSamePeer) {
  PeerTable table(4);
  const PeerId id = table.Touch("a", kStart)->id;
  EXPECT_NE(table.Touch("b", kStart)->id, id);
  EXPECT_EQ(table.Touch("a", kStart)->id, id);
  EXPECT_EQ(table.size(), 2U);
}

TEST(PeerTableTest, SilentPeerGivesWayToNewcomer) {
  PeerTable table(2);
  table.Touch("a", kStart);
  table.Touch("b", kStart + Milliseconds(1));
  table.Touch("a", kStart + Milliseconds(2));
  EXPECT_NE(table.Touch("c", kStart + Milliseconds(3)), nullptr);
  EXPECT_EQ(table.FindByRoutingId("b"), nullptr);
  EXPECT_NE(table.FindByRoutingId("a"), nullptr);
  EXPECT_EQ(table.size(), 2U);
}

TEST(PeerTableTest, PeersWithTasksStay) {
  PeerTable table(2);
  table.Touch("a", kStart)->num_tasks = 1;
  table.Touch("b", kStart)->num_tasks = 1;
  EXPECT_EQ(table.Touch("c", kStart), nullptr);
  EXPECT_NE(table.FindByRoutingId("a"), nullptr);
}

TEST(PeerTableTest, RemovedPeerComesBackAsAnother) {
  PeerTable table(2);
  const PeerId id = table.Touch("a", kStart)->id;
  table.Remove(id);
  table.Remove(id);
  EXPECT_EQ(table.Find(id), nullptr);
  EXPECT_NE(table.Touch("a", kStart)->id, id);
}

}  // namespace
}  // namespace parm
