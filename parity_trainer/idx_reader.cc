#include "parity_trainer/idx_reader.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/tensor.h"

namespace parm {
namespace {

constexpr uint8_t kUnsignedBytes = 0x08;
constexpr int kMaxRank = 4;
constexpr size_t kMaxReadBytes = size_t{1} << 20;

struct GzClose {
  void operator()(gzFile_s* file) const { gzclose_r(file); }
};
using GzHandle = std::unique_ptr<gzFile_s, GzClose>;

/// Errors: kDataLoss if fewer than `size` bytes are left.
absl::Status ReadExactly(gzFile_s* file, const std::string& path, uint8_t* out,
                         size_t size) {
  size_t done = 0;
  while (done < size) {
    const auto want =
        static_cast<unsigned>(std::min(size - done, kMaxReadBytes));
    const int got = gzread(file, out + done, want);
    if (got < 0) {
      int code = 0;
      return absl::DataLossError(
          absl::StrCat("damaged file: ", gzerror(file, &code)));
    }
    if (got == 0) {
      return absl::DataLossError(absl::StrCat("truncated file: ", path,
                                              " ends after ", done, " of ",
                                              size, " bytes"));
    }
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<IdxArray> ReadIdx(const std::string& path, int64_t max_bytes) {
  errno = 0;
  const GzHandle file(gzopen(path.c_str(), "rb"));
  if (file == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("cannot open ", path, ": ",
                     errno != 0 ? std::strerror(errno) : "out of memory"));
  }
  std::array<uint8_t, 4> magic{};
  PARM_RETURN_IF_ERROR(
      ReadExactly(file.get(), path, magic.data(), magic.size()));
  const int rank = magic[3];
  if (magic[0] != 0 || magic[1] != 0 || magic[2] != kUnsignedBytes ||
      rank < 1 || rank > kMaxRank) {
    return absl::InvalidArgumentError(absl::StrCat(
        "not an IDX file of unsigned bytes with 1 to 4 dimensions: ", path));
  }
  IdxArray array;
  for (int i = 0; i < rank; ++i) {
    std::array<uint8_t, 4> big_endian{};
    PARM_RETURN_IF_ERROR(
        ReadExactly(file.get(), path, big_endian.data(), big_endian.size()));
    int64_t dimension = 0;
    for (const uint8_t byte : big_endian) dimension = dimension * 256 + byte;
    array.shape.push_back(dimension);
  }
  PARM_ASSIGN_OR_RETURN(const int64_t size, NumElements(array.shape));
  if (size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("file too large: ", path, " announces ", size,
                     " bytes, want at most ", max_bytes));
  }
  array.values.resize(static_cast<size_t>(size));
  PARM_RETURN_IF_ERROR(ReadExactly(
      file.get(), path, reinterpret_cast<uint8_t*>(array.values.data()),
      array.values.size()));
  // Reading past the end also makes zlib compare the stream's checksum.
  uint8_t extra = 0;
  const int got = gzread(file.get(), &extra, 1);
  if (got > 0) {
    return absl::DataLossError(
        absl::StrCat("bytes left over after the array: ", path));
  }
  // A stream whose end was cut off reads as if it had ended.
  int error = Z_OK;
  gzerror(file.get(), &error);
  if (got < 0 || error != Z_OK) {
    return absl::DataLossError(absl::StrCat("damaged file: ", path));
  }
  return array;
}

}  // namespace parm
