#include "backends/finite_check.h"

#include <cstdint>
#include <cstring>

namespace parm {
namespace {

// NaN and infinity are the values whose exponent bits are all ones. No early
// exit: the loop without one is vectorized.
template <typename Word>
bool NoneHasExponent(absl::Span<const std::byte> bytes, Word exponent) {
  bool any = false;
  for (size_t i = 0; i + sizeof(Word) <= bytes.size(); i += sizeof(Word)) {
    Word word;
    std::memcpy(&word, bytes.data() + i, sizeof(Word));
    any |= (word & exponent) == exponent;
  }
  return !any;
}

}  // namespace

bool AllFinite(DataType datatype, absl::Span<const std::byte> bytes) {
  switch (datatype) {
    case DataType::kFp16:
      return NoneHasExponent<uint16_t>(bytes, 0x7c00);
    case DataType::kBf16:
      return NoneHasExponent<uint16_t>(bytes, 0x7f80);
    case DataType::kFp32:
      return NoneHasExponent<uint32_t>(bytes, 0x7f800000);
    case DataType::kFp64:
      return NoneHasExponent<uint64_t>(bytes, 0x7ff0000000000000);
    default:
      return true;
  }
}

}  // namespace parm
