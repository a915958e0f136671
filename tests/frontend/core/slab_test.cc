#include "frontend/core/slab.h"

#include <set>

#include "gtest/gtest.h"

namespace parm::core {
namespace {

struct Record : SlabItem {
  int value = 7;
};

TEST(SlabTest, FullTableHandsOutNothing) {
  Slab<Record> slab(2);
  EXPECT_NE(slab.Allocate(), nullptr);
  EXPECT_NE(slab.Allocate(), nullptr);
  EXPECT_TRUE(slab.full());
  EXPECT_EQ(slab.Allocate(), nullptr);
}

TEST(SlabTest, IdOfFreedRecordFindsNothing) {
  Slab<Record> slab(1);
  Record* const first = slab.Allocate();
  const uint64_t id = first->slab_id;
  EXPECT_EQ(slab.Find(id), first);
  slab.Free(first);
  EXPECT_EQ(slab.Find(id), nullptr);
  Record* const second = slab.Allocate();
  EXPECT_EQ(second, first) << "the slot is used again";
  EXPECT_EQ(slab.Find(id), nullptr);
  EXPECT_EQ(slab.Find(0), nullptr);
  EXPECT_EQ(slab.Find(id + 1), nullptr) << "index beyond the table";
}

TEST(SlabTest, ReusedRecordStartsAfresh) {
  Slab<Record> slab(1);
  Record* record = slab.Allocate();
  record->value = 1;
  slab.Free(record);
  EXPECT_EQ(slab.Allocate()->value, 7);
}

TEST(SlabTest, IdsAreNeverUsedTwice) {
  Slab<Record> slab(3);
  std::set<uint64_t> ids;
  for (int i = 0; i < 1000; ++i) {
    Record* const record = slab.Allocate();
    EXPECT_TRUE(ids.insert(record->slab_id).second);
    slab.Free(record);
  }
}

}  // namespace
}  // namespace parm::core
