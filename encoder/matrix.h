#pragma once

// The coefficients of a linear code: a handful of doubles, r rows of k. A code
// is built from them once; a query's path never touches them.

#include <cstddef>
#include <vector>

namespace parm {

/// Row-major, dense, small.
class Matrix {
 public:
  Matrix(int num_rows, int num_columns, double fill = 0)
      : num_rows_(num_rows),
        num_columns_(num_columns),
        values_(
            static_cast<size_t>(num_rows) * static_cast<size_t>(num_columns),
            fill) {}

  int num_rows() const { return num_rows_; }
  int num_columns() const { return num_columns_; }
  double& at(int row, int column) { return values_[Index(row, column)]; }
  double at(int row, int column) const { return values_[Index(row, column)]; }

 private:
  size_t Index(int row, int column) const {
    return static_cast<size_t>(row) * static_cast<size_t>(num_columns_) +
           static_cast<size_t>(column);
  }

  int num_rows_;
  int num_columns_;
  std::vector<double> values_;
};

/// The coefficients of a short group. Its members are repeated round robin
/// until all k slots are filled, so column j adds to column j % num_members:
/// k = 5 slots of 3 members are X0 X1 X2 X0 X1, and [1 1 1 1 1] folds to
/// [2 2 1].
/// Needs: 1 <= num_members <= slots.num_columns().
inline Matrix FoldRoundRobin(const Matrix& slots, int num_members) {
  Matrix folded(slots.num_rows(), num_members);
  for (int row = 0; row < slots.num_rows(); ++row) {
    for (int slot = 0; slot < slots.num_columns(); ++slot) {
      folded.at(row, slot % num_members) += slots.at(row, slot);
    }
  }
  return folded;
}

}  // namespace parm
