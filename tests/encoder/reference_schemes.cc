#include "tests/encoder/reference_schemes.h"

#include <algorithm>
#include <cmath>

#include "encoder/weighted_code.h"

namespace parm {
namespace {

// --- sum: slot j of k holds member j modulo the number of members.

std::vector<double> SumOfSlots(const CodeSpec& spec,
                               const std::vector<OwnedTensor>& members,
                               double (*term)(double)) {
  std::vector<double> sums(members[0].Values().size());
  for (size_t slot = 0; slot < static_cast<size_t>(spec.k); ++slot) {
    const std::vector<double> values = members[slot % members.size()].Values();
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += term(values[i]);
  }
  return sums;
}

std::vector<double> SumEncode(const CodeSpec& spec, int /*parity_index*/,
                              const std::vector<OwnedTensor>& members) {
  std::vector<double> values =
      SumOfSlots(spec, members, [](double value) { return value; });
  if (members[0].datatype == DataType::kUint8) {
    // std::round takes halves away from zero.
    for (double& value : values) value = std::round(value / spec.k);
  }
  return values;
}

std::vector<double> SumMagnitude(const CodeSpec& spec, int /*parity_index*/,
                                 const std::vector<OwnedTensor>& members) {
  // The query of UINT8 members is exact.
  if (members[0].datatype == DataType::kUint8) {
    return std::vector<double>(members[0].bytes.size());
  }
  return SumOfSlots(spec, members,
                    [](double value) { return std::abs(value); });
}

OwnedTensor SumAnswer(const CodeSpec& spec, int /*parity_index*/,
                      const OwnedTensor& parity,
                      const std::vector<OwnedTensor>& /*members*/,
                      const LinearModel& model) {
  // The query of UINT8 members is their mean.
  return model.Run(parity, parity.datatype == DataType::kUint8 ? spec.k : 1);
}

double SumAnswerRounding(const CodeSpec& spec, DataType datatype) {
  // Sums of up to eight members of order 1 stay below 32.
  return datatype == DataType::kUint8 ? 0.5 * spec.k : 32 * HalfUnit(datatype);
}

// [slices, batch, classes] of slices of [batch, classes].
OwnedTensor Joined(const std::vector<OwnedTensor>& slices) {
  OwnedTensor joined = {.datatype = DataType::kFp32, .shape = slices[0].shape};
  joined.shape.insert(joined.shape.begin(),
                      static_cast<int64_t>(slices.size()));
  for (const OwnedTensor& slice : slices) {
    joined.bytes.insert(joined.bytes.end(), slice.bytes.begin(),
                        slice.bytes.end());
  }
  return joined;
}

// --- pack: members one after the other.

std::vector<double> PackEncode(const CodeSpec& /*spec*/, int /*parity_index*/,
                               const std::vector<OwnedTensor>& members) {
  std::vector<double> all;
  for (const OwnedTensor& member : members) {
    const std::vector<double> values = member.Values();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

std::vector<double> PackMagnitude(const CodeSpec& spec, int parity_index,
                                  const std::vector<OwnedTensor>& members) {
  return std::vector<double>(PackEncode(spec, parity_index, members).size());
}

OwnedTensor PackAnswer(const CodeSpec& /*spec*/, int /*parity_index*/,
                       const OwnedTensor& parity,
                       const std::vector<OwnedTensor>& /*members*/,
                       const LinearModel& model) {
  return model.Run(parity);
}

// --- weighted: sums of slots with weights; of bytes moved and scaled into
// 0..255.

std::vector<double> WeightedSumOfSlots(const CodeSpec& spec, int parity_index,
                                       const std::vector<OwnedTensor>& members,
                                       double (*term)(double)) {
  const Matrix weights = WeightedCoefficients(spec.k, spec.r);
  std::vector<double> sums(members[0].Values().size());
  for (int slot = 0; slot < spec.k; ++slot) {
    const std::vector<double> values =
        members[static_cast<size_t>(slot) % members.size()].Values();
    for (size_t i = 0; i < sums.size(); ++i) {
      sums[i] += term(weights.at(parity_index, slot) * values[i]);
    }
  }
  return sums;
}

// The least that a weighted sum of bytes may be, and the levels of it that one
// level of its byte stands for.
struct ByteRange {
  double least = 0;
  double span = 0;
};

ByteRange WeightedByteRange(const CodeSpec& spec, int parity_index) {
  const Matrix weights = WeightedCoefficients(spec.k, spec.r);
  ByteRange range;
  for (int slot = 0; slot < spec.k; ++slot) {
    const double weight = weights.at(parity_index, slot);
    range.span += std::abs(weight);
    if (weight < 0) range.least += 255 * weight;
  }
  return range;
}

std::vector<double> WeightedEncode(const CodeSpec& spec, int parity_index,
                                   const std::vector<OwnedTensor>& members) {
  std::vector<double> values = WeightedSumOfSlots(
      spec, parity_index, members, [](double value) { return value; });
  if (members[0].datatype != DataType::kUint8) return values;
  // Not rounded: see WeightedMagnitude.
  const ByteRange range = WeightedByteRange(spec, parity_index);
  for (double& value : values) value = (value - range.least) / range.span;
  return values;
}

constexpr double kEncodeTolerance = 1e-6;

std::vector<double> WeightedMagnitude(const CodeSpec& spec, int parity_index,
                                      const std::vector<OwnedTensor>& members) {
  if (members[0].datatype == DataType::kUint8) {
    // Half a level by rounding, and what fp32 may add to it.
    return std::vector<double>(members[0].bytes.size(),
                               0.5001 / kEncodeTolerance);
  }
  return WeightedSumOfSlots(spec, parity_index, members,
                            [](double value) { return std::abs(value); });
}

OwnedTensor WeightedAnswer(const CodeSpec& spec, int parity_index,
                           const OwnedTensor& parity,
                           const std::vector<OwnedTensor>& /*members*/,
                           const LinearModel& model) {
  if (parity.datatype != DataType::kUint8) return model.Run(parity);
  const ByteRange range = WeightedByteRange(spec, parity_index);
  std::vector<double> sums = parity.Values();
  for (double& sum : sums) sum = range.span * sum + range.least;
  return model.Run(OwnedTensor::Of(DataType::kFp32, parity.shape, sums));
}

double WeightedAnswerRounding(const CodeSpec& spec, DataType datatype) {
  if (datatype != DataType::kUint8) return SumAnswerRounding(spec, datatype);
  double span = 0;
  for (int p = 0; p < spec.r; ++p) {
    span = std::max(span, WeightedByteRange(spec, p).span);
  }
  return 0.5001 * span;
}

// --- concat and tile: pictures of [batch, channels, height, width], shrunk.

struct GridSize {
  int64_t columns;
  int64_t rows;
};

GridSize GridOf(const CodeSpec& spec) {
  const auto columns = static_cast<int64_t>(std::ceil(std::sqrt(spec.k)));
  return {.columns = columns, .rows = (spec.k + columns - 1) / columns};
}

// Calls at(cell, y, x, i) with the place of each pixel i in its cell, for all
// samples and channels one after the other.
void ForEachPixel(const std::vector<int64_t>& shape, const GridSize& grid,
                  const auto& at) {
  const int64_t cell_height = shape[2] / grid.rows;
  const int64_t cell_width = shape[3] / grid.columns;
  size_t i = 0;
  for (int64_t plane = 0; plane < shape[0] * shape[1]; ++plane) {
    for (int64_t y = 0; y < shape[2]; ++y) {
      for (int64_t x = 0; x < shape[3]; ++x) {
        const int64_t cell = y / cell_height * grid.columns + x / cell_width;
        const int64_t row = plane * cell_height + y % cell_height;
        at(cell, static_cast<size_t>(row * cell_width + x % cell_width), i++);
      }
    }
  }
}

std::vector<int64_t> CellShape(const std::vector<int64_t>& shape,
                               const GridSize& grid) {
  return {shape[0], shape[1], shape[2] / grid.rows, shape[3] / grid.columns};
}

// One cell of each plane of a query.
OwnedTensor CutCell(const OwnedTensor& query, const GridSize& grid,
                    int64_t wanted) {
  const std::vector<double> values = query.Values();
  std::vector<double> cut(values.size() /
                          static_cast<size_t>(grid.rows * grid.columns));
  ForEachPixel(query.shape, grid, [&](int64_t cell, size_t pixel, size_t i) {
    if (cell == wanted) cut[pixel] = values[i];
  });
  return OwnedTensor::Of(DataType::kFp32, CellShape(query.shape, grid), cut);
}

// Means of boxes of term(pixel).
std::vector<double> Shrunk(const CodeSpec& spec, const OwnedTensor& member,
                           double (*term)(double)) {
  const GridSize grid = GridOf(spec);
  const std::vector<double> values = member.Values();
  const auto box_size = static_cast<size_t>(grid.rows * grid.columns);
  // Sums first: those of bytes are exact, so that halves round as they should.
  std::vector<double> means(values.size() / box_size);
  const auto width = static_cast<size_t>(member.shape[3]);
  const auto columns = static_cast<size_t>(grid.columns);
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t row = i / width / static_cast<size_t>(grid.rows);
    means[row * (width / columns) + i % width / columns] += term(values[i]);
  }
  for (double& mean : means) mean /= static_cast<double>(box_size);
  return means;
}

OwnedTensor SeenInGrid(const CodeSpec& spec, const OwnedTensor& member) {
  return OwnedTensor::Of(
      DataType::kFp32, CellShape(member.shape, GridOf(spec)),
      Shrunk(spec, member, [](double value) { return value; }));
}

// Cells of shrunk members, round robin, then cells of the mean of all others in
// the same sample and channel.
std::vector<double> Grid(const CodeSpec& spec,
                         const std::vector<OwnedTensor>& members,
                         double (*term)(double), bool round) {
  const auto rounded = [round](double value) {
    return round ? std::floor(value + 0.5) : value;
  };
  std::vector<std::vector<double>> cells;
  for (size_t slot = 0; slot < static_cast<size_t>(spec.k); ++slot) {
    cells.push_back(Shrunk(spec, members[slot % members.size()], term));
    for (double& value : cells.back()) value = rounded(value);
  }
  const GridSize grid = GridOf(spec);
  const std::vector<int64_t>& shape = members[0].shape;
  const auto cell_size =
      static_cast<size_t>(shape[2] / grid.rows * (shape[3] / grid.columns));
  std::vector<double> spare(cells[0].size());
  for (size_t i = 0; i < spare.size(); ++i) {
    const size_t begin = i / cell_size * cell_size;
    double sum = 0;
    for (size_t slot = 0; slot < static_cast<size_t>(spec.k); ++slot) {
      for (size_t j = 0; j < cell_size; ++j) sum += cells[slot][begin + j];
    }
    spare[i] = rounded(sum / (static_cast<double>(cell_size) * spec.k));
  }
  cells.resize(static_cast<size_t>(grid.rows * grid.columns), spare);
  std::vector<double> values(members[0].Values().size());
  ForEachPixel(shape, grid, [&](int64_t cell, size_t pixel, size_t i) {
    values[i] = cells[static_cast<size_t>(cell)][pixel];
  });
  return values;
}

std::vector<double> GridEncode(const CodeSpec& spec, int /*parity_index*/,
                               const std::vector<OwnedTensor>& members) {
  return Grid(
      spec, members, [](double value) { return value; },
      members[0].datatype == DataType::kUint8);
}

std::vector<double> GridMagnitude(const CodeSpec& spec, int /*parity_index*/,
                                  const std::vector<OwnedTensor>& members) {
  // The query of UINT8 members is exact.
  if (members[0].datatype == DataType::kUint8) {
    return std::vector<double>(members[0].bytes.size());
  }
  return Grid(
      spec, members, [](double value) { return std::abs(value); }, false);
}

OwnedTensor TileAnswer(const CodeSpec& spec, int /*parity_index*/,
                       const OwnedTensor& parity,
                       const std::vector<OwnedTensor>& /*members*/,
                       const LinearModel& model) {
  std::vector<OwnedTensor> slices;
  for (int slot = 0; slot < spec.k; ++slot) {
    slices.push_back(model.Run(CutCell(parity, GridOf(spec), slot)));
  }
  return Joined(slices);
}

OwnedTensor ConcatAnswer(const CodeSpec& spec, int parity_index,
                         const OwnedTensor& parity,
                         const std::vector<OwnedTensor>& members,
                         const LinearModel& model) {
  const OwnedTensor slices =
      TileAnswer(spec, parity_index, parity, members, model);
  const std::vector<double> values = slices.Values();
  std::vector<double> sums(values.size() / static_cast<size_t>(spec.k));
  for (size_t i = 0; i < values.size(); ++i) sums[i % sums.size()] += values[i];
  return OwnedTensor::Of(DataType::kFp32, {slices.shape[1], slices.shape[2]},
                         sums);
}

double TileAnswerRounding(const CodeSpec& /*spec*/, DataType datatype) {
  return datatype == DataType::kUint8 ? 0.5 : 4 * HalfUnit(datatype);
}

// --- stack: the k slots' samples one after the other, sample by sample.

std::vector<double> StackEncode(const CodeSpec& spec, int /*parity_index*/,
                                const std::vector<OwnedTensor>& members) {
  std::vector<double> all;
  const auto batch = static_cast<size_t>(members[0].shape[0]);
  for (size_t sample = 0; sample < batch; ++sample) {
    for (size_t slot = 0; slot < static_cast<size_t>(spec.k); ++slot) {
      const std::vector<double> values =
          members[slot % members.size()].Values();
      const size_t size = values.size() / batch;
      for (size_t i = 0; i < size; ++i) {
        all.push_back(values[sample * size + i]);
      }
    }
  }
  return all;
}

std::vector<double> StackMagnitude(const CodeSpec& spec, int parity_index,
                                   const std::vector<OwnedTensor>& members) {
  return std::vector<double>(StackEncode(spec, parity_index, members).size());
}

OwnedTensor StackAnswer(const CodeSpec& spec, int /*parity_index*/,
                        const OwnedTensor& parity,
                        const std::vector<OwnedTensor>& /*members*/,
                        const LinearModel& model) {
  const std::vector<double> values = parity.Values();
  const auto k = static_cast<size_t>(spec.k);
  const auto batch = static_cast<size_t>(parity.shape[0]);
  const size_t size = batch == 0 ? 0 : values.size() / batch / k;
  std::vector<OwnedTensor> slices;
  for (size_t slot = 0; slot < k; ++slot) {
    std::vector<double> member;
    for (size_t sample = 0; sample < batch; ++sample) {
      for (size_t i = 0; i < size; ++i) {
        member.push_back(values[(sample * k + slot) * size + i]);
      }
    }
    slices.push_back(model.Run(OwnedTensor::Of(
        DataType::kFp32, {parity.shape[0], static_cast<int64_t>(size)},
        member)));
  }
  return Joined(slices);
}

double NoRounding(const CodeSpec& /*spec*/, DataType /*datatype*/) { return 0; }

const ReferenceScheme kReferences[] = {
    {.scheme = "sum",
     .datatypes = {DataType::kFp32, DataType::kFp16, DataType::kBf16,
                   DataType::kUint8},
     .sample_shape = {3, 5},
     .encode_tolerance = 1e-6,
     .encode = SumEncode,
     .magnitude = SumMagnitude,
     .answer = SumAnswer,
     .answer_rounding = SumAnswerRounding},
    {.scheme = "weighted",
     .datatypes = {DataType::kFp32, DataType::kFp16, DataType::kBf16,
                   DataType::kUint8},
     .sample_shape = {3, 5},
     .encode_tolerance = kEncodeTolerance,
     .encode = WeightedEncode,
     .magnitude = WeightedMagnitude,
     .answer = WeightedAnswer,
     .answer_rounding = WeightedAnswerRounding},
    // 12 divides into grids of up to four columns and rows.
    {.scheme = "concat",
     .datatypes = {DataType::kFp32, DataType::kFp16, DataType::kBf16,
                   DataType::kUint8},
     .sample_shape = {2, 12, 12},
     .seen = SeenInGrid,
     .encode_tolerance = 1e-6,
     .encode = GridEncode,
     .magnitude = GridMagnitude,
     .answer = ConcatAnswer,
     .answer_rounding = SumAnswerRounding},
    {.scheme = "tile",
     .datatypes = {DataType::kFp32, DataType::kFp16, DataType::kBf16,
                   DataType::kUint8},
     .sample_shape = {2, 12, 12},
     .seen = SeenInGrid,
     .encode_tolerance = 1e-6,
     .encode = GridEncode,
     .magnitude = GridMagnitude,
     .answer = TileAnswer,
     .answer_rounding = TileAnswerRounding},
    {.scheme = "stack",
     .datatypes = {DataType::kFp32, DataType::kUint8, DataType::kInt64},
     .sample_shape = {3, 5},
     .encode_tolerance = 0,
     .encode = StackEncode,
     .magnitude = StackMagnitude,
     .answer = StackAnswer,
     .answer_rounding = NoRounding},
    {.scheme = "pack",
     .datatypes = {DataType::kFp32, DataType::kUint8, DataType::kInt64},
     .sample_shape = {3, 5},
     .encode_tolerance = 0,
     .encode = PackEncode,
     .magnitude = PackMagnitude,
     .answer = PackAnswer,
     .answer_rounding = NoRounding},
};

}  // namespace

LinearModel::LinearModel(uint32_t seed, int64_t num_features,
                         int64_t num_classes)
    : num_features_(num_features), num_classes_(num_classes) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  weights_.resize(static_cast<size_t>(num_features * num_classes));
  for (double& weight : weights_) weight = normal(random);
}

OwnedTensor LinearModel::Run(const OwnedTensor& batch, double scale) const {
  const std::vector<double> inputs = batch.Values();
  const auto num_features = static_cast<size_t>(num_features_);
  const auto num_classes = static_cast<size_t>(num_classes_);
  const size_t num_samples = inputs.size() / num_features;
  std::vector<double> outputs(num_samples * num_classes);
  for (size_t sample = 0; sample < num_samples; ++sample) {
    for (size_t c = 0; c < num_classes; ++c) {
      double sum = 0;
      for (size_t f = 0; f < num_features; ++f) {
        sum +=
            weights_[c * num_features + f] * inputs[sample * num_features + f];
      }
      outputs[sample * num_classes + c] = scale * sum;
    }
  }
  return OwnedTensor::Of(DataType::kFp32,
                         {static_cast<int64_t>(num_samples), num_classes_},
                         outputs);
}

double LinearModel::MaxRowAbsSum() const {
  double largest = 0;
  const auto num_features = static_cast<size_t>(num_features_);
  for (size_t row = 0; row < weights_.size(); row += num_features) {
    double sum = 0;
    for (size_t f = 0; f < num_features; ++f)
      sum += std::abs(weights_[row + f]);
    largest = std::max(largest, sum);
  }
  return largest;
}

const ReferenceScheme* FindReference(const std::string& scheme) {
  for (const ReferenceScheme& reference : kReferences) {
    if (reference.scheme == scheme) return &reference;
  }
  return nullptr;
}

}  // namespace parm
