#include "parity_trainer/berrut_command.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json_writer.h"
#include "base/status_macros.h"
#include "encoder/berrut_code.h"
#include "encoder/ridge_decoder.h"
#include "parity_trainer/deployed_model.h"
#include "parity_trainer/evaluation.h"
#include "parity_trainer/group_encoder.h"
#include "parity_trainer/shuffle.h"
#include "proto/atomic_file.h"

namespace parm {
namespace {

constexpr int kMaxStragglers = 3;  // bounds the patterns: 560 of 16 workers
constexpr int64_t kGroupsAtOnce = 250;
constexpr int64_t kCalibrationGroups = 2000;
constexpr double kRidge = 1e-3;

/// One way to use the code.
struct Variant {
  const char* name;
  WorkerNodes nodes;
  WeightFamily weights;  // of encoder and decoder
  bool calibrated;       // the decoder is fitted instead
};

constexpr Variant kVariants[] = {
    {"published", WorkerNodes::kSecondKind, WeightFamily::kBerrut1, false},
    {"first-kind nodes", WorkerNodes::kFirstKind, WeightFamily::kBerrut2,
     false},
    {"first-kind nodes, calibrated", WorkerNodes::kFirstKind,
     WeightFamily::kBerrut2, true},
};

struct Pattern {
  WorkerMask answered = 0;
  Matrix decode;
};

/// The deployed model behind one variant of the code.
class Bench {
 public:
  Bench(const BerrutCode& code, const DeployedModel& deployed,
        const Dataset& data)
      : code_(code), deployed_(deployed), data_(data) {}

  /// What every worker answers for groups of k consecutive `samples`.
  /// Shape: per worker [samples.size() / k, classes].
  absl::StatusOr<std::vector<HostTensor>> CodedOutputs(
      const Split& split, absl::Span<const int64_t> samples) const {
    const auto k = static_cast<size_t>(code_.options().k);
    std::vector<HostTensor> members;
    for (size_t slot = 0; slot < k; ++slot) {
      members.push_back(GatherSamples(data_, split, MembersAt(samples, slot),
                                      DataType::kFp32));
    }
    std::vector<HostTensor> coded(
        static_cast<size_t>(code_.options().num_workers), members[0]);
    std::vector<TensorView> in;
    std::vector<MutableTensorView> out;
    for (const HostTensor& member : members) in.push_back(member.view());
    for (HostTensor& query : coded) out.push_back(query.mutable_view());
    PARM_RETURN_IF_ERROR(code_.Encode(in, out));
    for (HostTensor& query : coded) {
      PARM_ASSIGN_OR_RETURN(query, deployed_.runner.Run(query));
    }
    return coded;
  }

  /// The members in one slot of every group.
  std::vector<int64_t> MembersAt(absl::Span<const int64_t> samples,
                                 size_t slot) const {
    const auto k = static_cast<size_t>(code_.options().k);
    std::vector<int64_t> members;
    for (size_t at = slot; at < samples.size(); at += k) {
      members.push_back(samples[at]);
    }
    return members;
  }

  const BerrutCode& code() const { return code_; }
  const DeployedModel& deployed() const { return deployed_; }
  const Dataset& data() const { return data_; }

 private:
  const BerrutCode& code_;
  const DeployedModel& deployed_;
  const Dataset& data_;
};

std::vector<float> Floats(const HostTensor& tensor) {
  return {tensor.floats().begin(), tensor.floats().end()};
}

/// Fits the decoder on random training groups: no labels.
absl::StatusOr<RidgeDecoder> Calibrate(const Bench& bench, uint64_t seed) {
  const int k = bench.code().options().k;
  const Split& train = bench.data().train;
  std::vector<int64_t> samples = ShuffledIndices(train.size(), seed, 0);
  samples.resize(
      static_cast<size_t>(std::min(train.size() / k, kCalibrationGroups) * k));
  RidgeDecoder decoder(k, bench.code().options().num_workers);
  const auto step = static_cast<size_t>(kGroupsAtOnce * k);
  for (size_t begin = 0; begin < samples.size(); begin += step) {
    const auto part = absl::MakeConstSpan(samples).subspan(begin, step);
    PARM_ASSIGN_OR_RETURN(const std::vector<HostTensor> coded,
                          bench.CodedOutputs(train, part));
    std::vector<std::vector<float>> coded_values;
    std::vector<std::vector<float>> values;
    for (const HostTensor& output : coded) {
      coded_values.push_back(Floats(output));
    }
    for (size_t slot = 0; slot < static_cast<size_t>(k); ++slot) {
      PARM_ASSIGN_OR_RETURN(const HostTensor output,
                            bench.deployed().runner.Run(GatherSamples(
                                bench.data(), train,
                                bench.MembersAt(part, slot), DataType::kFp32)));
      values.push_back(Floats(output));
    }
    PARM_RETURN_IF_ERROR(decoder.Add(coded_values, values));
  }
  return decoder;
}

/// Every pattern of answers with `stragglers` missing, and its decoder.
absl::StatusOr<std::vector<Pattern>> Patterns(const Bench& bench,
                                              bool calibrated, uint64_t seed) {
  const int workers = bench.code().options().num_workers;
  const int k = bench.code().options().k;
  RidgeDecoder decoder(k, workers);
  if (calibrated) {
    PARM_ASSIGN_OR_RETURN(decoder, Calibrate(bench, seed));
  }
  std::vector<Pattern> patterns;
  for (WorkerMask mask = 0; mask < WorkerMask{1} << workers; ++mask) {
    if (std::popcount(mask) != k) continue;
    PARM_ASSIGN_OR_RETURN(Matrix decode, calibrated
                                             ? decoder.Fit(mask, kRidge)
                                             : bench.code().DecodeMatrix(mask));
    patterns.push_back({.answered = mask, .decode = std::move(decode)});
  }
  return patterns;
}

/// How many of the groups' members one pattern gets right.
absl::StatusOr<int64_t> CountRight(const Bench& bench, const Pattern& pattern,
                                   const std::vector<HostTensor>& coded,
                                   absl::Span<const int64_t> samples) {
  const auto k = static_cast<size_t>(bench.code().options().k);
  std::vector<HostTensor> decoded(k, coded[0]);
  std::vector<TensorView> in;
  std::vector<MutableTensorView> out;
  for (const HostTensor& output : coded) in.push_back(output.view());
  for (HostTensor& result : decoded) out.push_back(result.mutable_view());
  PARM_RETURN_IF_ERROR(ApplyDecodeMatrix(pattern.decode, in, out));
  int64_t right = 0;
  for (size_t slot = 0; slot < k; ++slot) {
    std::vector<int32_t> labels;
    for (const int64_t member : bench.MembersAt(samples, slot)) {
      labels.push_back(bench.data().test.labels[static_cast<size_t>(member)]);
    }
    right += std::llround(Accuracy(decoded[slot], labels) *
                          static_cast<double>(labels.size()));
  }
  return right;
}

/// Over consecutive test samples; a rest smaller than a group is left out.
absl::StatusOr<TrainingFreeAccuracy> Measure(const Bench& bench,
                                             const Variant& variant,
                                             uint64_t seed) {
  PARM_ASSIGN_OR_RETURN(const std::vector<Pattern> patterns,
                        Patterns(bench, variant.calibrated, seed));
  const int64_t k = bench.code().options().k;
  std::vector<int64_t> samples(
      static_cast<size_t>(bench.data().test.size() / k * k));
  std::iota(samples.begin(), samples.end(), int64_t{0});
  const auto step = static_cast<size_t>(kGroupsAtOnce * k);
  int64_t right = 0;
  for (size_t begin = 0; begin < samples.size(); begin += step) {
    const auto part = absl::MakeConstSpan(samples).subspan(begin, step);
    PARM_ASSIGN_OR_RETURN(const std::vector<HostTensor> coded,
                          bench.CodedOutputs(bench.data().test, part));
    for (const Pattern& pattern : patterns) {
      PARM_ASSIGN_OR_RETURN(const int64_t more,
                            CountRight(bench, pattern, coded, part));
      right += more;
    }
  }
  const auto queries = static_cast<double>(samples.size());
  const double accuracy = static_cast<double>(right) /
                          (queries * static_cast<double>(patterns.size()));
  return TrainingFreeAccuracy{
      .variant = variant.name,
      .weights = variant.calibrated
                     ? "fitted"
                     : std::string(WeightFamilyName(variant.weights)),
      .accuracy = accuracy,
      .standard_error = std::sqrt(accuracy * (1 - accuracy) / queries)};
}

std::string ToJson(const BerrutCommandOptions& options, const Dataset& data,
                   double a_a, const std::vector<TrainingFreeAccuracy>& rows) {
  std::string text;
  JsonWriter json(&text);
  json.BeginObject();
  json.Key("scheme").String("berrut");
  json.Key("k").Int(options.k);
  json.Key("workers").Int(options.k + options.stragglers);
  json.Key("stragglers").Int(options.stragglers);
  json.Key("data").String(data.source);
  json.Key("truth").String(std::string(TruthOf(data)));
  json.Key("samples").Int(data.test.size());
  json.Key("a_a").Double(a_a);
  json.Key("rows").BeginArray();
  for (const TrainingFreeAccuracy& row : rows) {
    json.BeginObject();
    json.Key("variant").String(row.variant);
    json.Key("weights").String(row.weights);
    json.Key("accuracy").Double(row.accuracy);
    json.Key("standard_error").Double(row.standard_error);
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  text.push_back('\n');
  return text;
}

absl::Status Check(int k, const DeployedModel& deployed, const Dataset& data) {
  if (deployed.input.datatype != DataType::kFp32) {
    return absl::InvalidArgumentError(absl::StrCat(
        "coded queries are fractions: the deployed model's input is ",
        std::string(DataTypeName(deployed.input.datatype)), ", want FP32"));
  }
  if (data.train.size() >= k && data.test.size() >= k) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("data set is smaller than a group: got ", data.train.size(),
                   " training and ", data.test.size(),
                   " test samples, want at least k = ", k));
}

/// One for each variant.
absl::StatusOr<std::vector<BerrutCode>> CreateCodes(int k, int stragglers) {
  if (stragglers < 1 || stragglers > kMaxStragglers) {
    return absl::InvalidArgumentError(
        absl::StrCat("number of stragglers is out of range: got ", stragglers,
                     ", want 1 to ", kMaxStragglers));
  }
  std::vector<BerrutCode> codes;
  for (const Variant& variant : kVariants) {
    PARM_ASSIGN_OR_RETURN(
        BerrutCode code,
        BerrutCode::Create({.k = k,
                            .num_workers = k + stragglers,
                            .nodes = variant.nodes,
                            .encode_weights = variant.weights,
                            .decode_weights = variant.weights}));
    codes.push_back(std::move(code));
  }
  return codes;
}

}  // namespace

absl::StatusOr<std::vector<TrainingFreeAccuracy>> MeasureTrainingFree(
    const DeployedModel& deployed, const Dataset& data, int k, int stragglers,
    uint64_t seed) {
  PARM_ASSIGN_OR_RETURN(const std::vector<BerrutCode> codes,
                        CreateCodes(k, stragglers));
  PARM_RETURN_IF_ERROR(Check(k, deployed, data));
  std::vector<TrainingFreeAccuracy> rows;
  for (size_t i = 0; i < codes.size(); ++i) {
    PARM_ASSIGN_OR_RETURN(
        TrainingFreeAccuracy row,
        Measure(Bench(codes[i], deployed, data), kVariants[i], seed));
    rows.push_back(std::move(row));
  }
  return rows;
}

absl::StatusOr<std::string> RunBerrutCommand(
    const BerrutCommandOptions& options) {
  // What the code does not take shows before there is any work.
  PARM_RETURN_IF_ERROR(CreateCodes(options.k, options.stragglers).status());
  PARM_ASSIGN_OR_RETURN(const DeployedModel deployed,
                        LoadDeployedModel(options.deployed));
  PARM_ASSIGN_OR_RETURN(const Dataset data, LoadDataFor(deployed, options.data,
                                                        /*with_train=*/true));
  PARM_RETURN_IF_ERROR(Check(options.k, deployed, data));
  PARM_ASSIGN_OR_RETURN(
      const HostTensor logits,
      deployed.runner.RunAll(data, data.test, DataType::kFp32));
  const double a_a = Accuracy(logits, data.test.labels);
  PARM_ASSIGN_OR_RETURN(const std::vector<TrainingFreeAccuracy> rows,
                        MeasureTrainingFree(deployed, data, options.k,
                                            options.stragglers, options.seed));
  std::string text =
      absl::StrFormat("berrut k=%d, %d workers, %d missing; %s", options.k,
                      options.k + options.stragglers, options.stragglers,
                      DescribeDeployedAccuracy(a_a, data));
  for (const TrainingFreeAccuracy& row : rows) {
    absl::StrAppendFormat(&text, "\n%-30s %.2f +- %.2f %% of all queries",
                          row.variant, 100 * row.accuracy,
                          100 * row.standard_error);
  }
  if (!options.json_file.empty()) {
    PARM_RETURN_IF_ERROR(WriteFileAtomically(options.json_file,
                                             ToJson(options, data, a_a, rows)));
  }
  return text;
}

}  // namespace parm
