#include "proto/npy_header.h"

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace parm {
namespace {

constexpr absl::string_view kMagic("\x93NUMPY", 6);
constexpr size_t kMaxRank = 16;
constexpr size_t kAlignment = 64;

struct Descriptor {
  absl::string_view text;
  DataType datatype;
};
constexpr std::array<Descriptor, 12> kDescriptors = {{
    {"|b1", DataType::kBool},
    {"|u1", DataType::kUint8},
    {"<u2", DataType::kUint16},
    {"<u4", DataType::kUint32},
    {"<u8", DataType::kUint64},
    {"|i1", DataType::kInt8},
    {"<i2", DataType::kInt16},
    {"<i4", DataType::kInt32},
    {"<i8", DataType::kInt64},
    {"<f2", DataType::kFp16},
    {"<f4", DataType::kFp32},
    {"<f8", DataType::kFp64},
}};

absl::Status Malformed(absl::string_view file, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("not a usable .npy file: ", what, " in ", file));
}

/// The text after `'key':` in the header's dictionary, or nothing.
absl::string_view After(absl::string_view header, absl::string_view key) {
  const size_t at = header.find(absl::StrCat("'", key, "'"));
  if (at == absl::string_view::npos) return {};
  absl::string_view rest = header.substr(at + key.size() + 2);
  rest = absl::StripLeadingAsciiWhitespace(rest);
  if (!absl::ConsumePrefix(&rest, ":")) return {};
  return absl::StripLeadingAsciiWhitespace(rest);
}

absl::StatusOr<DataType> ParseDescriptor(absl::string_view header,
                                         absl::string_view file) {
  absl::string_view rest = After(header, "descr");
  if (!absl::ConsumePrefix(&rest, "'")) {
    return Malformed(file, "no plain element type");
  }
  const absl::string_view text = rest.substr(0, rest.find('\''));
  for (const Descriptor& descriptor : kDescriptors) {
    if (descriptor.text == text) return descriptor.datatype;
  }
  return Malformed(file, absl::StrCat("unsupported element type '", text, "'"));
}

absl::StatusOr<std::vector<int64_t>> ParseShape(absl::string_view header,
                                                absl::string_view file) {
  absl::string_view rest = After(header, "shape");
  const size_t end = rest.find(')');
  if (!absl::ConsumePrefix(&rest, "(") || end == absl::string_view::npos) {
    return Malformed(file, "no shape");
  }
  std::vector<int64_t> shape;
  for (absl::string_view part :
       absl::StrSplit(rest.substr(0, end - 1), ',', absl::SkipWhitespace())) {
    int64_t dimension = 0;
    if (!absl::SimpleAtoi(part, &dimension) || dimension < 0 ||
        shape.size() == kMaxRank) {
      return Malformed(file, "bad shape");
    }
    shape.push_back(dimension);
  }
  return shape;
}

const Descriptor* Find(DataType datatype) {
  const auto found =
      std::find_if(kDescriptors.begin(), kDescriptors.end(),
                   [&](const Descriptor& d) { return d.datatype == datatype; });
  return found == kDescriptors.end() ? nullptr : &*found;
}

}  // namespace

absl::StatusOr<NpyHeader> ParseNpyHeader(absl::string_view start,
                                         absl::string_view file) {
  const auto byte = [&](size_t i) {
    return static_cast<size_t>(static_cast<uint8_t>(start[i]));
  };
  if (start.size() < 12 || !absl::StartsWith(start, kMagic)) {
    return Malformed(file, "no magic bytes");
  }
  const size_t version = byte(6);
  if (version < 1 || version > 3) return Malformed(file, "unknown version");
  const size_t text_at = version == 1 ? 10 : 12;
  const size_t text_bytes =
      version == 1
          ? byte(8) + byte(9) * 256
          : byte(8) + byte(9) * 256 + byte(10) * 65536 + byte(11) * 16777216;
  if (text_at + text_bytes > std::min(start.size(), kMaxNpyHeaderBytes)) {
    return absl::DataLossError(absl::StrCat("truncated .npy header in ", file));
  }
  const absl::string_view text = start.substr(text_at, text_bytes);
  NpyHeader header{.size = text_at + text_bytes};
  PARM_ASSIGN_OR_RETURN(header.datatype, ParseDescriptor(text, file));
  if (!absl::StartsWith(After(text, "fortran_order"), "False")) {
    return Malformed(file, "Fortran order, want C order,");
  }
  PARM_ASSIGN_OR_RETURN(header.shape, ParseShape(text, file));
  return header;
}

bool HasNpyType(DataType datatype) { return Find(datatype) != nullptr; }

std::string WriteNpyHeader(DataType datatype, absl::Span<const int64_t> shape) {
  const Descriptor* const descriptor = Find(datatype);
  PARM_CHECK(descriptor != nullptr);
  PARM_CHECK(shape.size() <= kMaxRank);
  // As Python writes tuples: a comma at the end of a single one only.
  std::string tuple = absl::StrJoin(shape, ", ");
  if (shape.size() == 1) tuple.push_back(',');
  std::string text =
      absl::StrCat("{'descr': '", descriptor->text,
                   "', 'fortran_order': False, 'shape': (", tuple, "), }");
  constexpr size_t kPreamble = 10;
  const size_t unpadded = kPreamble + text.size() + 1;
  text.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  text.push_back('\n');
  std::string header(kMagic);
  header.push_back('\x01');
  header.push_back('\x00');
  header.push_back(static_cast<char>(text.size() % 256));
  header.push_back(static_cast<char>(text.size() / 256));
  return header + text;
}

}  // namespace parm
