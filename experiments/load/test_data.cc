#include "experiments/load/test_data.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "base/status_macros.h"
#include "parity_trainer/idx_reader.h"
#include "parity_trainer/npy.h"

namespace parm {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 30;

/// The array of `rank` dimensions in `path`, or in `path`.gz without one.
absl::StatusOr<IdxArray> ReadPlainOrGz(const std::string& path, size_t rank) {
  std::error_code ignored;
  const bool is_plain = std::filesystem::exists(path, ignored);
  PARM_ASSIGN_OR_RETURN(IdxArray array,
                        ReadIdx(is_plain ? path : path + ".gz", kMaxFileBytes));
  if (array.shape.size() != rank) {
    return absl::InvalidArgumentError(
        absl::StrCat("number of dimensions differs: got ", array.shape.size(),
                     ", want ", rank, ": ", path));
  }
  return array;
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
  PARM_ASSIGN_OR_RETURN(
      const IdxArray images,
      ReadPlainOrGz(directory + "/t10k-images-idx3-ubyte", /*rank=*/3));
  PARM_ASSIGN_OR_RETURN(
      const IdxArray labels,
      ReadPlainOrGz(directory + "/t10k-labels-idx1-ubyte", /*rank=*/1));
  if (images.shape[0] != labels.shape[0] || images.shape[0] == 0) {
    return absl::DataLossError(
        absl::StrCat("images and labels do not match: got ", images.shape[0],
                     " images and ", labels.shape[0], " labels"));
  }
  TestData data{.num_samples = images.shape[0],
                .height = images.shape[1],
                .width = images.shape[2]};
  data.pixels.assign(images.values.begin(), images.values.end());
  data.labels.assign(labels.values.begin(), labels.values.end());
  return data;
}

absl::StatusOr<std::vector<int>> LoadReferenceClasses(const std::string& path) {
  PARM_ASSIGN_OR_RETURN(const HostTensor logits, ReadNpy(path, kMaxFileBytes));
  if (logits.datatype != DataType::kFp32 || logits.shape.size() != 2 ||
      logits.shape[1] == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "reference is no array of outputs: got ", DataTypeName(logits.datatype),
        ShapeToString(logits.shape), ", want FP32[samples,classes]: ", path));
  }
  const absl::Span<const float> values = logits.floats();
  const auto num_classes = static_cast<size_t>(logits.shape[1]);
  std::vector<int> best;
  for (size_t row = 0; row < values.size(); row += num_classes) {
    best.push_back(ArgMax(values.data() + row, num_classes));
  }
  return best;
}

}  // namespace parm
