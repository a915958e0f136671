#include "experiments/load/test_data.h"

#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"

namespace parm {
namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 30;

struct GzCloser {
  void operator()(gzFile_s* file) const { gzclose(file); }
};

/// zlib reads plain files as they are, so one path serves both.
absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const std::unique_ptr<gzFile_s, GzCloser> file(gzopen(path.c_str(), "rb"));
  if (file == nullptr) {
    return absl::NotFoundError(absl::StrCat("cannot read: ", path));
  }
  std::string text;
  std::string chunk(size_t{1} << 18, '\0');
  for (;;) {
    const int got =
        gzread(file.get(), chunk.data(), static_cast<unsigned>(chunk.size()));
    if (got < 0) {
      return absl::DataLossError(absl::StrCat("broken gzip file: ", path));
    }
    if (got == 0) break;
    text.append(chunk.data(), static_cast<size_t>(got));
    if (text.size() > kMaxFileBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("file is above 1 GiB: ", path));
    }
  }
  // A gzip stream that was cut short ends without an error from gzread.
  int error = Z_OK;
  gzerror(file.get(), &error);
  if (error != Z_OK) {
    return absl::DataLossError(absl::StrCat("file is cut short: ", path));
  }
  return text;
}

absl::StatusOr<std::string> ReadPlainOrGz(const std::string& path) {
  std::error_code ignored;
  return ReadFile(std::filesystem::exists(path, ignored) ? path : path + ".gz");
}

int64_t BigEndian32(absl::string_view bytes, size_t offset) {
  int64_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    value = value * 256 + static_cast<uint8_t>(bytes[offset + i]);
  }
  return value;
}

/// The dimensions of an IDX file of unsigned bytes whose size fits them.
absl::StatusOr<std::vector<int64_t>> IdxShape(absl::string_view file,
                                              size_t rank,
                                              const std::string& path) {
  constexpr int64_t kUnsignedByte = 8;
  const size_t header = 4 + 4 * rank;
  if (file.size() < header ||
      BigEndian32(file, 0) !=
          kUnsignedByte * 256 + static_cast<int64_t>(rank)) {
    return absl::DataLossError(
        absl::StrCat("not an IDX file of unsigned bytes with ", rank,
                     " dimensions: ", path));
  }
  std::vector<int64_t> shape;
  int64_t size = 1;
  for (size_t i = 0; i < rank; ++i) {
    shape.push_back(BigEndian32(file, 4 + 4 * i));
    size *= shape.back();
    if (size > static_cast<int64_t>(kMaxFileBytes)) break;
  }
  if (size != static_cast<int64_t>(file.size() - header)) {
    return absl::DataLossError(absl::StrCat("IDX sizes do not add up: ", path));
  }
  return shape;
}

/// The text after `key` in the dictionary of an .npy header.
absl::string_view NpyValue(absl::string_view header, absl::string_view key) {
  const size_t at = header.find(key);
  if (at == absl::string_view::npos) return {};
  return header.substr(at + key.size());
}

}  // namespace

int ArgMax(const float* values, size_t size) {
  int best = -1;
  for (size_t i = 0; i < size; ++i) {
    if (best < 0 ? values[i] == values[i]
                 : values[i] > values[static_cast<size_t>(best)]) {
      best = static_cast<int>(i);
    }
  }
  return best;
}

absl::StatusOr<TestData> LoadIdxTestData(const std::string& directory) {
  const std::string images_path = directory + "/t10k-images-idx3-ubyte";
  const std::string labels_path = directory + "/t10k-labels-idx1-ubyte";
  PARM_ASSIGN_OR_RETURN(const std::string images, ReadPlainOrGz(images_path));
  PARM_ASSIGN_OR_RETURN(const std::string labels, ReadPlainOrGz(labels_path));
  PARM_ASSIGN_OR_RETURN(const std::vector<int64_t> image_shape,
                        IdxShape(images, 3, images_path));
  PARM_ASSIGN_OR_RETURN(const std::vector<int64_t> label_shape,
                        IdxShape(labels, 1, labels_path));
  if (image_shape[0] != label_shape[0] || image_shape[0] == 0) {
    return absl::DataLossError(
        absl::StrCat("images and labels do not match: got ", image_shape[0],
                     " images and ", label_shape[0], " labels"));
  }
  TestData data{.num_samples = image_shape[0],
                .height = image_shape[1],
                .width = image_shape[2]};
  data.pixels.assign(images.begin() + 16, images.end());
  data.labels.assign(labels.begin() + 8, labels.end());
  return data;
}

absl::StatusOr<std::vector<int>> LoadReferenceClasses(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  const absl::string_view file = *text;
  const auto bad = [&path](absl::string_view why) {
    return absl::DataLossError(absl::StrCat(
        "not an .npy of float32 [samples, classes]: ", why, ": ", path));
  };
  constexpr absl::string_view kMagic("\x93NUMPY\x01\x00", 8);
  if (file.size() < 10 || !absl::StartsWith(file, kMagic)) {
    return bad("no version 1 header");
  }
  const size_t header_size = static_cast<size_t>(
      static_cast<uint8_t>(file[8]) + 256 * static_cast<uint8_t>(file[9]));
  if (file.size() < 10 + header_size) return bad("header is cut short");
  const absl::string_view header = file.substr(10, header_size);
  if (!absl::StartsWith(NpyValue(header, "'descr': "), "'<f4'")) {
    return bad("another type");
  }
  if (!absl::StartsWith(NpyValue(header, "'fortran_order': "), "False")) {
    return bad("another order");
  }
  const std::string shape(NpyValue(header, "'shape': ("));
  char* end = nullptr;
  const int64_t samples = std::strtoll(shape.c_str(), &end, 10);
  if (*end != ',') return bad("another rank");
  const int64_t classes = std::strtoll(end + 1, &end, 10);
  // A comma may follow the last dimension, as in any Python tuple.
  while (*end == ',' || *end == ' ') ++end;
  if (*end != ')' || samples <= 0 || classes <= 0 || classes > (1 << 20) ||
      samples > static_cast<int64_t>(kMaxFileBytes)) {
    return bad("another rank");
  }
  const auto row_bytes = static_cast<size_t>(classes) * sizeof(float);
  if (file.size() - 10 - header_size !=
      static_cast<size_t>(samples) * row_bytes) {
    return bad("data is cut short");
  }
  std::vector<int> best;
  std::vector<float> row(static_cast<size_t>(classes));
  for (size_t i = 0; i < static_cast<size_t>(samples); ++i) {
    std::memcpy(row.data(), file.data() + 10 + header_size + i * row_bytes,
                row_bytes);
    best.push_back(ArgMax(row.data(), row.size()));
  }
  return best;
}

}  // namespace parm
