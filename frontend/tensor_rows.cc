#include "frontend/tensor_rows.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

// Bytes of the first `rows` rows of a BYTES tensor, whose elements stand each
// behind a 4-byte length; -1 if it ends before.
int64_t BytesOfElements(absl::Span<const std::byte> bytes, int64_t elements) {
  size_t offset = 0;
  for (int64_t i = 0; i < elements; ++i) {
    uint32_t length = 0;
    if (bytes.size() - offset < sizeof(length)) return -1;
    std::memcpy(&length, bytes.data() + offset, sizeof(length));
    offset += sizeof(length);
    if (bytes.size() - offset < length) return -1;
    offset += length;
  }
  return static_cast<int64_t>(offset);
}

// A value is not finite exactly if all its exponent bits are set. Integer
// arithmetic alone, so that the loop becomes SIMD; the input may be unaligned.
template <typename Word>
bool NoFullExponent(absl::Span<const std::byte> bytes, Word exponent_mask) {
  const size_t count = bytes.size() / sizeof(Word);
  size_t found = 0;
  for (size_t i = 0; i < count; ++i) {
    Word word;
    std::memcpy(&word, bytes.data() + i * sizeof(Word), sizeof(Word));
    found += static_cast<size_t>((word & exponent_mask) == exponent_mask);
  }
  return found == 0;
}

}  // namespace

TensorView ViewOf(const oip::Tensor& tensor) {
  return {.datatype = tensor.spec.datatype,
          .shape = tensor.spec.shape,
          .bytes = tensor.data.bytes()};
}

absl::StatusOr<oip::Tensor> JoinRows(
    absl::Span<const oip::Tensor* const> parts) {
  PARM_CHECK(!parts.empty());
  if (parts.size() == 1) return *parts[0];
  TensorSpec spec = parts[0]->spec;
  size_t size = 0;
  int64_t rows = 0;
  for (const oip::Tensor* part : parts) {
    const std::vector<int64_t>& shape = part->spec.shape;
    if (part->spec.datatype != spec.datatype || shape.empty() ||
        shape.size() != spec.shape.size() ||
        !std::equal(shape.begin() + 1, shape.end(), spec.shape.begin() + 1)) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensors of one batch differ: ", ShapeToString(shape),
                       " and ", ShapeToString(spec.shape)));
    }
    rows += shape[0];
    size += part->data.size();
  }
  spec.shape[0] = rows;
  std::byte* out = nullptr;
  Buffer data = Buffer::Allocate(size, &out);
  for (const oip::Tensor* part : parts) {
    if (part->data.empty()) continue;
    std::memcpy(out, part->data.bytes().data(), part->data.size());
    out += part->data.size();
  }
  return oip::Tensor{.spec = std::move(spec), .data = std::move(data)};
}

absl::StatusOr<oip::Tensor> SliceRows(const oip::Tensor& tensor, int64_t first,
                                      int64_t count) {
  const std::vector<int64_t>& shape = tensor.spec.shape;
  if (shape.empty() || first < 0 || count < 0 || first > shape[0] - count) {
    return absl::InvalidArgumentError(
        absl::StrCat("an answer has too few rows: got ", ShapeToString(shape),
                     ", want ", first + count));
  }
  if (count == shape[0]) return tensor;
  TensorSpec spec = tensor.spec;
  spec.shape[0] = count;
  const absl::Span<const std::byte> bytes = tensor.data.bytes();
  int64_t begin = 0;
  int64_t size = 0;
  if (spec.datatype == DataType::kBytes) {
    spec.shape[0] = 1;
    PARM_ASSIGN_OR_RETURN(const int64_t per_row, NumElements(spec.shape));
    spec.shape[0] = count;
    begin = BytesOfElements(bytes, first * per_row);
    const int64_t end = BytesOfElements(bytes, (first + count) * per_row);
    if (begin < 0 || end < 0) {
      return absl::InvalidArgumentError("a BYTES answer ends early");
    }
    size = end - begin;
  } else {
    PARM_ASSIGN_OR_RETURN(size, NumBytes(spec.datatype, spec.shape));
    begin = count == 0 ? 0 : size / count * first;
    if (begin + size > static_cast<int64_t>(bytes.size())) {
      return absl::InvalidArgumentError("an answer is shorter than its shape");
    }
  }
  return oip::Tensor{.spec = std::move(spec),
                     .data = tensor.data.Slice(static_cast<size_t>(begin),
                                               static_cast<size_t>(size))};
}

size_t LargestTensor(absl::Span<const oip::Tensor> tensors) {
  size_t largest = 0;
  for (const oip::Tensor& tensor : tensors) {
    largest = std::max(largest, tensor.data.size());
  }
  return largest;
}

bool AllFinite(const oip::Tensor& tensor) {
  const absl::Span<const std::byte> bytes = tensor.data.bytes();
  switch (tensor.spec.datatype) {
    case DataType::kFp16:
      return NoFullExponent<uint16_t>(bytes, 0x7C00);
    case DataType::kBf16:
      return NoFullExponent<uint16_t>(bytes, 0x7F80);
    case DataType::kFp32:
      return NoFullExponent<uint32_t>(bytes, 0x7F80'0000);
    case DataType::kFp64:
      return NoFullExponent<uint64_t>(bytes, 0x7FF0'0000'0000'0000);
    default:
      return true;
  }
}

}  // namespace parm
