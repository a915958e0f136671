#include "parity_trainer/split_reader.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "parity_trainer/idx_reader.h"
#include "parity_trainer/npy.h"

namespace parm {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 32;

absl::StatusOr<IdxArray> ReadIdxOrGzip(const std::string& path) {
  absl::StatusOr<IdxArray> plain = ReadIdx(path, kMaxFileBytes);
  if (!absl::IsNotFound(plain.status())) return plain;
  return ReadIdx(path + ".gz", kMaxFileBytes);
}

absl::StatusOr<RawSplit> ReadIdxSplit(const std::string& directory,
                                      bool train) {
  const std::string prefix =
      absl::StrCat(directory, "/", train ? "train" : "t10k");
  PARM_ASSIGN_OR_RETURN(IdxArray images,
                        ReadIdxOrGzip(prefix + "-images-idx3-ubyte"));
  PARM_ASSIGN_OR_RETURN(const IdxArray labels,
                        ReadIdxOrGzip(prefix + "-labels-idx1-ubyte"));
  if (images.shape.size() != 3 || labels.shape.size() != 1 ||
      images.shape[0] != labels.shape[0]) {
    return absl::InvalidArgumentError(absl::StrCat(
        "images and labels do not fit together in ", directory, ": got ",
        ShapeToString(images.shape), " and ", ShapeToString(labels.shape),
        ", want [N,height,width] and [N]"));
  }
  RawSplit split{.datatype = DataType::kUint8,
                 .sample_shape = {1, images.shape[1], images.shape[2]},
                 .values = std::move(images.values)};
  for (const char label : labels.values) {
    split.labels.push_back(static_cast<uint8_t>(label));
  }
  return split;
}

/// Integers of `Stored` widened to int64.
template <typename Stored>
std::vector<int64_t> Widen(const std::string& bytes) {
  std::vector<int64_t> values(bytes.size() / sizeof(Stored));
  for (size_t i = 0; i < values.size(); ++i) {
    Stored value;
    std::memcpy(&value, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    values[i] = static_cast<int64_t>(value);
  }
  return values;
}

absl::StatusOr<std::vector<int64_t>> ToLabels(const HostTensor& array,
                                              const std::string& path) {
  switch (array.datatype) {
    case DataType::kUint8:
      return Widen<uint8_t>(array.bytes);
    case DataType::kInt8:
      return Widen<int8_t>(array.bytes);
    case DataType::kUint16:
      return Widen<uint16_t>(array.bytes);
    case DataType::kInt16:
      return Widen<int16_t>(array.bytes);
    case DataType::kUint32:
      return Widen<uint32_t>(array.bytes);
    case DataType::kInt32:
      return Widen<int32_t>(array.bytes);
    case DataType::kUint64:
      return Widen<uint64_t>(array.bytes);
    case DataType::kInt64:
      return Widen<int64_t>(array.bytes);
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("labels are no integers: got ",
                       DataTypeName(array.datatype), " in ", path));
  }
}

absl::StatusOr<RawSplit> ReadNpySplit(const std::string& directory,
                                      bool train) {
  const std::string prefix =
      absl::StrCat(directory, "/", train ? "train" : "test");
  const std::string labels_path = prefix + "_y.npy";
  PARM_ASSIGN_OR_RETURN(HostTensor samples,
                        ReadNpy(prefix + "_x.npy", kMaxFileBytes));
  PARM_ASSIGN_OR_RETURN(const HostTensor labels,
                        ReadNpy(labels_path, kMaxFileBytes));
  if (samples.datatype != DataType::kUint8 &&
      samples.datatype != DataType::kFp32) {
    return absl::InvalidArgumentError(
        absl::StrCat("samples have an unsupported type: got ",
                     DataTypeName(samples.datatype), ", want UINT8 or FP32 in ",
                     prefix, "_x.npy"));
  }
  if (samples.shape.size() < 2 || labels.shape.size() != 1 ||
      samples.shape[0] != labels.shape[0]) {
    return absl::InvalidArgumentError(
        absl::StrCat("samples and labels do not fit together in ", directory,
                     ": got ", ShapeToString(samples.shape), " and ",
                     ShapeToString(labels.shape), ", want [N,...] and [N]"));
  }
  RawSplit split{
      .datatype = samples.datatype,
      .sample_shape = {samples.shape.begin() + 1, samples.shape.end()},
      .values = std::move(samples.bytes)};
  PARM_ASSIGN_OR_RETURN(split.labels, ToLabels(labels, labels_path));
  return split;
}

}  // namespace

absl::StatusOr<RawSplit> ReadSplit(absl::string_view source, bool train) {
  if (absl::ConsumePrefix(&source, "idx:")) {
    return ReadIdxSplit(std::string(source), train);
  }
  if (absl::ConsumePrefix(&source, "npy:")) {
    return ReadNpySplit(std::string(source), train);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("data source has an unknown form: got \"", source,
                   "\", want idx:DIR, npy:DIR or queries:DIR"));
}

}  // namespace parm
