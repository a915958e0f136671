#include "parity_trainer/dataset.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "parity_trainer/query_reader.h"
#include "parity_trainer/split_reader.h"

namespace parm {
namespace {

constexpr int64_t kMaxClasses = 100000;
constexpr size_t kQueriesPerTestQuery = 5;

absl::Status CheckFinite(const RawSplit& split, absl::string_view what) {
  if (split.datatype != DataType::kFp32) return absl::OkStatus();
  const size_t count = split.values.size() / sizeof(float);
  for (size_t i = 0; i < count; ++i) {
    float value = 0;
    std::memcpy(&value, split.values.data() + i * sizeof(float), sizeof(float));
    if (!std::isfinite(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("value is not finite: ", what, " sample ",
                       i * split.labels.size() / count, " holds ", value));
    }
  }
  return absl::OkStatus();
}

/// The number of classes that `labels` show.
/// Errors: kInvalidArgument naming the first class that never occurs.
absl::StatusOr<int64_t> InferClasses(const std::vector<int64_t>& labels) {
  const int64_t greatest = *std::max_element(labels.begin(), labels.end());
  if (greatest >= kMaxClasses) {
    return absl::InvalidArgumentError(absl::StrCat(
        "label out of range: got ", greatest, ", want below ", kMaxClasses));
  }
  std::vector<bool> seen(static_cast<size_t>(std::max<int64_t>(greatest, 0)) +
                         1);
  for (const int64_t label : labels) {
    if (label >= 0) seen[static_cast<size_t>(label)] = true;
  }
  const auto gap = std::find(seen.begin(), seen.end(), false);
  if (gap != seen.end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "label out of range: the greatest is ", greatest, " but class ",
        gap - seen.begin(),
        " never occurs; state the number of classes if that is meant"));
  }
  return greatest + 1;
}

absl::Status CheckLabels(const RawSplit& split, int64_t num_classes,
                         absl::string_view what) {
  for (size_t i = 0; i < split.labels.size(); ++i) {
    if (split.labels[i] < 0 || split.labels[i] >= num_classes) {
      return absl::InvalidArgumentError(
          absl::StrCat("label out of range: ", what, " sample ", i, " has ",
                       split.labels[i], ", want 0 to ", num_classes - 1));
    }
  }
  return absl::OkStatus();
}

/// Errors: kInvalidArgument if a sample is empty or there is none.
absl::StatusOr<Split> Finish(RawSplit raw, int64_t num_classes, int64_t limit,
                             absl::string_view what) {
  PARM_RETURN_IF_ERROR(CheckLabels(raw, num_classes, what));
  PARM_RETURN_IF_ERROR(CheckFinite(raw, what));
  const size_t all = raw.labels.size();
  const size_t kept =
      limit > 0 ? std::min(all, static_cast<size_t>(limit)) : all;
  Split split;
  split.values = std::move(raw.values);
  split.values.resize(split.values.size() / all * kept);
  split.labels.assign(raw.labels.begin(),
                      raw.labels.begin() + static_cast<std::ptrdiff_t>(kept));
  return split;
}

struct RawDataset {
  bool labelled = true;
  RawSplit train;
  RawSplit test;
};

/// Cuts the last samples off, at least one if there is any.
RawSplit CutTestQueries(RawSplit* queries) {
  const size_t count = queries->labels.size();
  const size_t cut = (count + kQueriesPerTestQuery - 1) / kQueriesPerTestQuery;
  RawSplit test{.datatype = queries->datatype,
                .sample_shape = queries->sample_shape};
  test.labels.resize(cut);
  queries->labels.resize(count - cut);
  const size_t sample_bytes = count > 0 ? queries->values.size() / count : 0;
  test.values = queries->values.substr((count - cut) * sample_bytes);
  queries->values.resize((count - cut) * sample_bytes);
  return test;
}

absl::StatusOr<RawDataset> ReadSource(const DatasetOptions& options) {
  RawDataset raw;
  absl::string_view directory = options.source;
  if (absl::ConsumePrefix(&directory, "queries:")) {
    raw.labelled = false;
    PARM_ASSIGN_OR_RETURN(raw.train, ReadQueries(std::string(directory)));
    raw.test = CutTestQueries(&raw.train);
    return raw;
  }
  PARM_ASSIGN_OR_RETURN(raw.test, ReadSplit(options.source, false));
  if (options.with_train) {
    PARM_ASSIGN_OR_RETURN(raw.train, ReadSplit(options.source, true));
  }
  return raw;
}

}  // namespace

absl::StatusOr<Dataset> LoadDataset(const DatasetOptions& options) {
  PARM_ASSIGN_OR_RETURN(RawDataset raw, ReadSource(options));
  RawSplit& test = raw.test;
  RawSplit& train = raw.train;
  if (options.with_train) {
    if (train.datatype != test.datatype ||
        train.sample_shape != test.sample_shape) {
      return absl::InvalidArgumentError(absl::StrCat(
          "training and test samples differ in type or shape: ",
          DataTypeName(train.datatype), ShapeToString(train.sample_shape),
          " and ", DataTypeName(test.datatype),
          ShapeToString(test.sample_shape)));
    }
  }
  if (test.values.empty() || (options.with_train && train.values.empty())) {
    return absl::InvalidArgumentError(
        absl::StrCat("no samples in ", options.source));
  }
  Dataset data{.source = options.source,
               .datatype = test.datatype,
               .sample_shape = test.sample_shape,
               .num_classes = options.num_classes,
               .labelled = raw.labelled};
  if (data.num_classes == 0) {
    PARM_ASSIGN_OR_RETURN(
        data.num_classes,
        InferClasses(options.with_train ? train.labels : test.labels));
  }
  if (options.with_train) {
    PARM_ASSIGN_OR_RETURN(data.train, Finish(std::move(train), data.num_classes,
                                             options.limit_train, "training"));
  }
  PARM_ASSIGN_OR_RETURN(data.test, Finish(std::move(test), data.num_classes,
                                          options.limit_test, "test"));
  return data;
}

void AppendWireSamples(const Dataset& data, const Split& split,
                       absl::Span<const int64_t> indices, DataType datatype,
                       std::string* out) {
  PARM_CHECK(datatype == data.datatype || datatype == DataType::kFp32);
  const size_t sample_bytes =
      split.values.size() / static_cast<size_t>(split.size());
  for (const int64_t index : indices) {
    PARM_CHECK(index >= 0 && index < split.size());
    const char* sample =
        split.values.data() + static_cast<size_t>(index) * sample_bytes;
    if (datatype == data.datatype) {
      out->append(sample, sample_bytes);
      continue;
    }
    const size_t at = out->size();
    out->resize(at + sample_bytes * sizeof(float));
    for (size_t i = 0; i < sample_bytes; ++i) {
      const float value = static_cast<uint8_t>(sample[i]);
      std::memcpy(out->data() + at + i * sizeof(float), &value, sizeof(float));
    }
  }
}

}  // namespace parm
