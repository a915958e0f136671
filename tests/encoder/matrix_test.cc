#include "encoder/matrix.h"

#include "gtest/gtest.h"

namespace parm {
namespace {

TEST(MatrixTest, FoldsSlotsRoundRobinOntoMembers) {
  Matrix slots(2, 5);
  for (int slot = 0; slot < 5; ++slot) {
    slots.at(0, slot) = 1;
    slots.at(1, slot) = slot + 1;
  }
  // Slots hold X0 X1 X2 X0 X1.
  const Matrix folded = FoldRoundRobin(slots, 3);
  ASSERT_EQ(folded.num_rows(), 2);
  ASSERT_EQ(folded.num_columns(), 3);
  EXPECT_EQ(folded.at(0, 0), 2);
  EXPECT_EQ(folded.at(0, 1), 2);
  EXPECT_EQ(folded.at(0, 2), 1);
  EXPECT_EQ(folded.at(1, 0), 1 + 4);
  EXPECT_EQ(folded.at(1, 1), 2 + 5);
  EXPECT_EQ(folded.at(1, 2), 3);
}

TEST(MatrixTest, FoldKeepsAFullGroup) {
  Matrix slots(1, 3);
  for (int slot = 0; slot < 3; ++slot) slots.at(0, slot) = slot;
  const Matrix folded = FoldRoundRobin(slots, 3);
  for (int slot = 0; slot < 3; ++slot) EXPECT_EQ(folded.at(0, slot), slot);
}

}  // namespace
}  // namespace parm
