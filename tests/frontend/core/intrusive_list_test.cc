#include "frontend/core/intrusive_list.h"

#include <array>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parm::core {
namespace {

struct Item {
  int value = 0;
  Link<Item> link;
};
using List = IntrusiveList<Item, &Item::link>;

std::vector<int> Values(const List& list) {
  std::vector<int> values;
  for (const Item* item = list.front(); item != nullptr;
       item = List::Next(*item)) {
    values.push_back(item->value);
  }
  return values;
}

TEST(IntrusiveListTest, KeepsOrderUnderAnyRemoval) {
  for (size_t removed = 0; removed < 3; ++removed) {
    SCOPED_TRACE(removed);
    std::array<Item, 3> items = {Item{0, {}}, Item{1, {}}, Item{2, {}}};
    List list;
    for (Item& item : items) list.PushBack(item);
    list.Remove(items[removed]);
    EXPECT_FALSE(List::Contains(items[removed]));
    std::vector<int> want = {0, 1, 2};
    want.erase(want.begin() + static_cast<int>(removed));
    EXPECT_EQ(Values(list), want);
    EXPECT_EQ(list.size(), 2U);
    list.PushFront(items[removed]);
    want.insert(want.begin(), items[removed].value);
    EXPECT_EQ(Values(list), want);
  }
}

TEST(IntrusiveListTest, PopsFrontUntilEmpty) {
  std::array<Item, 2> items = {Item{1, {}}, Item{2, {}}};
  List list;
  EXPECT_EQ(list.PopFront(), nullptr);
  list.PushBack(items[0]);
  list.PushBack(items[1]);
  EXPECT_EQ(list.PopFront(), &items[0]);
  EXPECT_EQ(list.PopFront(), &items[1]);
  EXPECT_TRUE(list.empty());
}

}  // namespace
}  // namespace parm::core
