#pragma once

// Pictures shrunk and laid side by side in a picture of the old size, which is
// the parity query of `concat` and `tile`:
//
// clang-format off
//   k = 2: 2 columns, 1 row     k = 3, 4: 2 x 2     k = 5, 6: 3 columns, 2 rows
//
//     +----+----+                 +----+----+
//     | X0 | X1 |                 | X0 | X1 |     Each pixel of a cell is the
//     |    |    |                 +----+----+     mean of the rows x columns
//     +----+----+                 | X2 | X3 |     pixels it stands for; a cell
//                                 +----+----+     too many holds the mean.
// clang-format on

#include <cstddef>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/tensor.h"

namespace parm {

/// Threads: const methods may run on any thread at once.
class PictureGrid {
 public:
  /// A grid of ceil(sqrt(num_pictures)) columns and as few rows as hold all.
  /// Needs: 1 <= num_pictures <= kMaxMembers.
  explicit PictureGrid(int num_pictures);

  int num_columns() const { return num_columns_; }
  int num_rows() const { return num_rows_; }

  /// Errors: kInvalidArgument unless these are pictures [batch, channels,
  ///         height, width], FP32, FP16, BF16 or UINT8, whose height and width
  ///         (unless variable, -1) divide into the grid's rows and columns.
  absl::Status CheckPictures(DataType datatype,
                             absl::Span<const int64_t> shape) const;

  /// Shrinks and lays out. Cell i holds picture i modulo the number of members,
  /// so a short group repeats its members round robin. In a cell that no
  /// picture fills every pixel is, sample by sample and channel by channel, the
  /// mean of the filled cells. UINT8 means are rounded half up.
  /// Needs: 1 to num_pictures members of one kind that CheckPictures takes, and
  ///        a parity of the same kind.
  /// Cost:  reads each member once; allocates nothing.
  void Encode(absl::Span<const TensorView> members,
              MutableTensorView parity) const;

 private:
  const int num_pictures_;
  const int num_columns_;
  const int num_rows_;
};

}  // namespace parm
