#include "parity_trainer/npy.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "proto/atomic_file.h"

namespace parm {
namespace {

constexpr absl::string_view kMagic("\x93NUMPY", 6);
constexpr size_t kMaxHeaderBytes = 65536;
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

}  // namespace

absl::StatusOr<HostTensor> ParseNpy(std::string contents,
                                    absl::string_view file) {
  const auto byte = [&](size_t i) {
    return static_cast<size_t>(static_cast<uint8_t>(contents[i]));
  };
  if (contents.size() < 12 || contents.compare(0, 6, kMagic.data(), 6) != 0) {
    return Malformed(file, "no magic bytes");
  }
  const size_t version = byte(6);
  if (version < 1 || version > 3) return Malformed(file, "unknown version");
  const size_t start = version == 1 ? 10 : 12;
  const size_t header_bytes =
      version == 1
          ? byte(8) + byte(9) * 256
          : byte(8) + byte(9) * 256 + byte(10) * 65536 + byte(11) * 16777216;
  if (header_bytes > kMaxHeaderBytes ||
      start + header_bytes > contents.size()) {
    return absl::DataLossError(absl::StrCat("truncated .npy header in ", file));
  }
  const absl::string_view header(contents.data() + start, header_bytes);
  HostTensor array;
  PARM_ASSIGN_OR_RETURN(array.datatype, ParseDescriptor(header, file));
  if (!absl::StartsWith(After(header, "fortran_order"), "False")) {
    return Malformed(file, "Fortran order, want C order,");
  }
  PARM_ASSIGN_OR_RETURN(array.shape, ParseShape(header, file));
  PARM_ASSIGN_OR_RETURN(const int64_t want,
                        NumBytes(array.datatype, array.shape));
  const size_t got = contents.size() - start - header_bytes;
  if (got != static_cast<size_t>(want)) {
    return absl::DataLossError(absl::StrCat(
        "byte count differs from the shape ", ShapeToString(array.shape),
        " in ", file, ": got ", got, ", want ", want));
  }
  contents.erase(0, start + header_bytes);
  array.bytes = std::move(contents);
  return array;
}

absl::StatusOr<HostTensor> ReadNpy(const std::string& path, int64_t max_bytes) {
  PARM_ASSIGN_OR_RETURN(std::string contents, ReadWholeFile(path, max_bytes));
  return ParseNpy(std::move(contents), path);
}

std::string SerializeNpy(const HostTensor& array) {
  const auto descriptor = std::find_if(
      kDescriptors.begin(), kDescriptors.end(),
      [&](const Descriptor& d) { return d.datatype == array.datatype; });
  PARM_CHECK(descriptor != kDescriptors.end());
  PARM_CHECK(array.shape.size() <= kMaxRank);
  // As Python writes tuples: a comma at the end of a single one only.
  std::string shape = absl::StrJoin(array.shape, ", ");
  if (array.shape.size() == 1) shape.push_back(',');
  std::string header =
      absl::StrCat("{'descr': '", descriptor->text,
                   "', 'fortran_order': False, 'shape': (", shape, "), }");
  constexpr size_t kPreamble = 10;
  const size_t unpadded = kPreamble + header.size() + 1;
  header.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  header.push_back('\n');
  std::string file(kMagic);
  file.push_back('\x01');
  file.push_back('\x00');
  file.push_back(static_cast<char>(header.size() % 256));
  file.push_back(static_cast<char>(header.size() / 256));
  absl::StrAppend(&file, header, array.bytes);
  return file;
}

}  // namespace parm
