#pragma once

// A code whose parity queries are weighted sums of the members, element by
// element, and whose parity models answer weighted sums of the members'
// outputs with the same weights. It is given by one small matrix, so a scheme
// of this kind is a choice of coefficients; see sum_code.h and weighted_code.h.

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/tensor.h"
#include "encoder/code.h"
#include "encoder/decoding_code.h"
#include "encoder/linear_decoder.h"
#include "encoder/matrix.h"

namespace parm {

/// Takes a weighted sum of bytes to the bytes of a parity query, and the
/// numbers behind both ways: with P the sum of a full group's positive
/// coefficients and N that of the others' sizes, sums lie in -255 N .. 255 P,
/// and
///   byte = (sum + 255 N) / (P + N), rounded to the nearest,
/// halves away from zero. Where all coefficients are 1 that is the mean of the
/// k slots, in exact integers; else fp32 added from left to right.
struct ByteScale {
  double span = 0;       // P + N: levels of the sum for one of the byte
  double zero = 0;       // 255 N / (P + N): the byte of a sum of 0
  bool is_mean = false;  // all coefficients are 1
};
/// Of one row of coefficients.
ByteScale ByteScaleOf(const Matrix& coefficients, int row);

/// Members: FP32; FP16 and BF16, added up in fp32 and rounded once; UINT8,
/// whose sum is moved and scaled into 0..255 (ByteScale) so that it stays
/// UINT8, while the parity model still answers the sum of outputs. Short
/// groups: members are repeated round robin (see FoldRoundRobin). Threads:
/// const methods may run on any thread at once.
class LinearCode final : public DecodingCode<LinearDecoder> {
 public:
  /// `coefficients`, r x k, one column per slot of a full group: parity query
  /// p is the sum over j of coefficients.at(p, j) * Xj, its model's answer that
  /// of coefficients.at(p, j) * F(Xj).
  /// Needs: k + r <= LinearDecoder::kMaxSlots.
  LinearCode(CodeSpec spec, const Matrix& coefficients);

  bool mixes_members() const override { return true; }
  bool supports_short_groups() const override { return true; }
  absl::StatusOr<TensorSpec> ParityQuerySpec(const TensorSpec& member,
                                             int num_members) const override;
  absl::Status Encode(int parity_index, absl::Span<const TensorView> members,
                      MutableTensorView parity) const override;

 private:
  // One parity's coefficients, for a group of some size.
  struct Row {
    std::vector<float> weights;       // one for each member
    std::vector<float> byte_weights;  // the same over ByteScale::span
  };

  absl::Status CheckDataType(DataType datatype) const;
  void EncodeBytes(int parity_index, absl::Span<const TensorView> members,
                   MutableTensorView parity) const;

  // Constant after construction.
  std::vector<ByteScale> byte_scales_;  // one for each parity
  std::vector<std::vector<Row>> rows_;  // [num_members - 1][parity_index]
};

}  // namespace parm
