#include "parity_trainer/frontier_command.h"

#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "base/json_writer.h"
#include "base/status_macros.h"
#include "encoder/code.h"
#include "parity_trainer/berrut_command.h"
#include "parity_trainer/cost.h"
#include "parity_trainer/deployed_model.h"
#include "parity_trainer/evaluation.h"
#include "parity_trainer/frontier_picture.h"
#include "parity_trainer/group_encoder.h"
#include "parity_trainer/parity_evaluation.h"
#include "proto/atomic_file.h"
#include "proto/machine_name.h"

namespace parm {
namespace {

struct Unit {
  std::string name;  // the bundle, "deployed", or a training-free variant
  ParityFigures figures;
  double relative_cost = 0;  // of a group's extra tasks, measured here
  bool exact = false;
  /// Its answers are instead of exact ones, not only where these are lost.
  bool every_answer = false;

  double ExtraTimePerQuery() const { return relative_cost / figures.code.k; }
  std::string Label() const {
    return absl::StrCat(
        figures.code.scheme, " k=", figures.code.k,
        figures.code.r > 1 ? absl::StrCat(" r=", figures.code.r) : "",
        exact          ? " (deployed)"
        : every_answer ? absl::StrCat(", ", name)
                       : "");
  }
};

/// Everything that units are measured on.
struct Bench {
  const DeployedModel& deployed;
  const Dataset& data;
  const HostTensor& logits;
};

absl::StatusOr<double> CostOf(const Bench& bench, const Code& code,
                              const ModelRunner& runner) {
  const DataType datatype = bench.deployed.input.datatype;
  PARM_ASSIGN_OR_RETURN(const HostTensor query,
                        ExampleQuery(code, bench.data, datatype));
  return MeasureRelativeCost(
      runner, query, bench.deployed.runner,
      GatherSamples(bench.data, bench.data.test, {0}, datatype));
}

absl::StatusOr<Unit> MeasureParity(const Bench& bench,
                                   const std::string& directory) {
  PARM_ASSIGN_OR_RETURN(const ParityModel parity,
                        LoadParityModel(bench.deployed, directory));
  Unit unit = {.name = directory};
  unit.exact = parity.bundle.manifest.file_sha256() ==
               bench.deployed.bundle.manifest.file_sha256();
  PARM_ASSIGN_OR_RETURN(unit.figures, EvaluateParity(parity, bench.deployed,
                                                     bench.data, bench.logits));
  PARM_ASSIGN_OR_RETURN(const double cost,
                        CostOf(bench, *parity.code, parity.runners[0]));
  unit.relative_cost = cost * unit.figures.code.r;
  return unit;
}

/// `pack` of the deployed model: exact, at the cost of a batch of k.
absl::StatusOr<Unit> MeasureExactPack(const Bench& bench, int k) {
  PARM_ASSIGN_OR_RETURN(const std::unique_ptr<const Code> code,
                        CreateCode({.scheme = "pack", .k = k, .r = 1}));
  Unit unit = {.name = "deployed", .exact = true};
  unit.figures.code = code->spec();
  PARM_ASSIGN_OR_RETURN(
      unit.figures.erasures,
      EvaluateErasures(*code, {&bench.deployed.runner}, bench.data,
                       bench.deployed.input.datatype, bench.logits));
  PARM_ASSIGN_OR_RETURN(
      const HostTensor query,
      ExampleQuery(*code, bench.data, bench.deployed.input.datatype));
  unit.figures.query_bytes = static_cast<int64_t>(query.bytes.size());
  PARM_ASSIGN_OR_RETURN(unit.relative_cost,
                        CostOf(bench, *code, bench.deployed.runner));
  return unit;
}

/// One coded query more than members, each of them a query of the deployed
/// model: that is what the code costs.
absl::StatusOr<std::vector<Unit>> MeasureTrainingFreeUnits(const Bench& bench,
                                                           int k,
                                                           uint64_t seed) {
  PARM_ASSIGN_OR_RETURN(const std::vector<TrainingFreeAccuracy> rows,
                        MeasureTrainingFree(bench.deployed, bench.data, k,
                                            /*stragglers=*/1, seed));
  const HostTensor query = GatherSamples(bench.data, bench.data.test, {0},
                                         bench.deployed.input.datatype);
  std::vector<Unit> units;
  for (const TrainingFreeAccuracy& row : rows) {
    Unit unit = {.name = row.variant, .relative_cost = 1, .every_answer = true};
    unit.figures.code = {.scheme = "berrut", .k = k, .r = 1};
    unit.figures.erasures.a_d.push_back({.losses = 1,
                                         .accuracy = row.accuracy,
                                         .standard_error = row.standard_error});
    unit.figures.query_bytes = static_cast<int64_t>(query.bytes.size());
    units.push_back(std::move(unit));
  }
  return units;
}

void WriteUnit(const Unit& unit, JsonWriter* json) {
  json->BeginObject();
  json->Key("unit").String(unit.name);
  json->Key("scheme").String(unit.figures.code.scheme);
  json->Key("k").Int(unit.figures.code.k);
  json->Key("r").Int(unit.figures.code.r);
  json->Key("exact").Bool(unit.exact);
  json->Key("every_answer").Bool(unit.every_answer);
  json->Key("relative_cost").Double(unit.relative_cost);
  json->Key("extra_time_per_query").Double(unit.ExtraTimePerQuery());
  json->Key("bytes").Int(unit.figures.query_bytes);
  json->Key("ece");
  if (unit.figures.calibration_error) {
    json->Double(*unit.figures.calibration_error);
  } else {
    json->Null();
  }
  json->Key("a_d").BeginObject();
  for (const DegradedAccuracy& row : unit.figures.erasures.a_d) {
    json->Key(absl::StrCat(row.losses)).Double(row.accuracy);
  }
  json->EndObject();
  json->Key("a_d_se").BeginObject();
  for (const DegradedAccuracy& row : unit.figures.erasures.a_d) {
    json->Key(absl::StrCat(row.losses)).Double(row.standard_error);
  }
  json->EndObject();
  json->EndObject();
}

std::string ToJson(const Bench& bench, double a_a,
                   const std::vector<Unit>& units) {
  std::string text;
  JsonWriter json(&text);
  json.BeginObject();
  json.Key("machine").String(MachineName());
  json.Key("data").String(bench.data.source);
  json.Key("truth").String(std::string(TruthOf(bench.data)));
  json.Key("samples").Int(bench.data.test.size());
  json.Key("a_a").Double(a_a);
  json.Key("units").BeginArray();
  for (const Unit& unit : units) WriteUnit(unit, &json);
  json.EndArray();
  json.EndObject();
  text.push_back('\n');
  return text;
}

}  // namespace

absl::StatusOr<std::string> RunFrontierCommand(const FrontierOptions& options) {
  if (options.parities.empty()) {
    return absl::InvalidArgumentError(
        "no units to compare: got no --parity, want one or more");
  }
  PARM_ASSIGN_OR_RETURN(const DeployedModel deployed,
                        LoadDeployedModel(options.deployed));
  PARM_ASSIGN_OR_RETURN(
      const Dataset data,
      LoadDataFor(deployed, options.data,
                  /*with_train=*/!options.training_free.empty()));
  PARM_ASSIGN_OR_RETURN(
      const HostTensor logits,
      deployed.runner.RunAll(data, data.test, deployed.input.datatype));
  const Bench bench = {.deployed = deployed, .data = data, .logits = logits};
  std::vector<Unit> units;
  std::set<int> sizes;
  for (const std::string& directory : options.parities) {
    PARM_ASSIGN_OR_RETURN(Unit unit, MeasureParity(bench, directory));
    sizes.insert(unit.figures.code.k);
    units.push_back(std::move(unit));
  }
  for (const int k : sizes) {
    PARM_ASSIGN_OR_RETURN(Unit unit, MeasureExactPack(bench, k));
    units.push_back(std::move(unit));
  }
  for (const int k : options.training_free) {
    PARM_ASSIGN_OR_RETURN(std::vector<Unit> variants,
                          MeasureTrainingFreeUnits(bench, k, options.seed));
    for (Unit& unit : variants) units.push_back(std::move(unit));
  }

  const double a_a = Accuracy(logits, data.test.labels);
  std::vector<FrontierPoint> points;
  std::string text = DescribeDeployedAccuracy(a_a, data);
  for (const Unit& unit : units) {
    const DegradedAccuracy& row = unit.figures.erasures.a_d.at(0);
    points.push_back({.label = unit.Label(),
                      .extra_time_per_query = unit.ExtraTimePerQuery(),
                      .accuracy = row.accuracy,
                      .exact = unit.exact});
    absl::StrAppend(
        &text,
        absl::StrFormat(
            "\n%-22s cost %5.2f, %5.2f per query, %7d bytes, A_d %.2f %%",
            unit.Label(), unit.relative_cost, unit.ExtraTimePerQuery(),
            unit.figures.query_bytes, 100 * row.accuracy));
  }
  if (!options.json_file.empty()) {
    PARM_RETURN_IF_ERROR(
        WriteFileAtomically(options.json_file, ToJson(bench, a_a, units)));
  }
  if (!options.picture_file.empty()) {
    PARM_RETURN_IF_ERROR(
        WriteFileAtomically(options.picture_file, DrawFrontier(points, a_a)));
  }
  return text;
}

}  // namespace parm
