#include "frontend/buffer_table.h"

#include "gtest/gtest.h"

namespace parm {
namespace {

TEST(BufferTableTest, NamesSetsAndTakesTheirPlacesAgain) {
  BufferTable table;
  const BufferId first = table.Add({.rows = 1});
  const BufferId second = table.Add({.rows = 2});
  EXPECT_NE(first, BufferId{});
  EXPECT_NE(first, second);
  EXPECT_EQ(table.Get(first).rows, 1);
  EXPECT_EQ(table.Get(second).rows, 2);
  table.Release(first);
  EXPECT_EQ(table.size(), 1U);
  const BufferId third = table.Add({.rows = 3});
  EXPECT_EQ(third, first);
  EXPECT_EQ(table.Get(third).rows, 3);
  EXPECT_EQ(table.Get(second).rows, 2);
}

TEST(BufferTableTest, LetsGoOfTheBytesOnRelease) {
  static int released = 0;
  released = 0;
  BufferTable table;
  TensorSet set;
  set.tensors.push_back(
      {.data = Buffer::Wrap({}, nullptr, [](void*) { ++released; })});
  const BufferId id = table.Add(std::move(set));
  EXPECT_EQ(released, 0);
  table.Release(id);
  EXPECT_EQ(released, 1);
}

TEST(BufferTableTest, CountsTheBytesOfWhatItHolds) {
  BufferTable table;
  TensorSet set;
  set.tensors.push_back({.data = Buffer::FromString("12345")});
  set.tensors.push_back({.data = Buffer::FromString("678")});
  const BufferId both = table.Add(set);
  set.tensors.pop_back();
  const BufferId one = table.Add(std::move(set));
  EXPECT_EQ(table.bytes(), 13U);
  table.Release(both);
  EXPECT_EQ(table.bytes(), 5U);
  table.Release(one);
  EXPECT_EQ(table.bytes(), 0U);
}

TEST(BufferTableDeathTest, EndsTheProcessOnAnIdItDoesNotHold) {
  BufferTable table;
  const BufferId id = table.Add({});
  table.Release(id);
  EXPECT_DEATH(table.Get(id), "check failed");
  EXPECT_DEATH(table.Release(id), "check failed");
  EXPECT_DEATH(table.Get(BufferId{}), "check failed");
}

}  // namespace
}  // namespace parm
