#include "parity_trainer/evaluate_command.h"

#include <cmath>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json_writer.h"
#include "base/status_macros.h"
#include "parity_trainer/deployed_model.h"
#include "parity_trainer/evaluation.h"
#include "parity_trainer/npy.h"
#include "parity_trainer/panel_picture.h"
#include "parity_trainer/parity_evaluation.h"
#include "proto/atomic_file.h"

namespace parm {
namespace {

/// Below A_a by more than this, reconstructions do more harm than late answers
/// do to most users.
constexpr double kUnsuitableDrop = 0.10;

/// Right answers of one class.
struct ClassCount {
  int64_t samples = 0;
  int64_t deployed_right = 0;
  int64_t decodes_right = 0;
};

struct Report {
  double a_a = 0;
  std::optional<ParityFigures> parity;

  /// Of reconstructions at one loss; 0 without a parity that covers one.
  double OneLossAccuracy() const {
    return parity && !parity->erasures.a_d.empty()
               ? parity->erasures.a_d[0].accuracy
               : 0;
  }
};

/// By label, with what each class has of test samples.
std::vector<ClassCount> CountClasses(const ErasureResult& erasures,
                                     int64_t num_classes) {
  std::vector<ClassCount> counts(static_cast<size_t>(num_classes));
  for (const JudgedDecode& decode : erasures.decodes) {
    ClassCount& count = counts[static_cast<size_t>(decode.label)];
    ++count.samples;
    count.deployed_right += decode.deployed_right ? 1 : 0;
    count.decodes_right += decode.right ? 1 : 0;
  }
  return counts;
}

/// Of a class that may have no sample: 0 then.
double Share(int64_t right, int64_t samples) {
  return samples == 0
             ? 0
             : static_cast<double>(right) / static_cast<double>(samples);
}

/// A row of the accuracy tables needs these beside the accuracies.
void WriteMaking(const ParityFigures& parity, JsonWriter* json) {
  const bundle::Training& training = parity.manifest.training();
  json->Key("relative_cost").Double(parity.relative_cost);
  json->Key("bytes").Int(parity.query_bytes);
  json->Key("arch").String(training.arch());
  json->Key("seed").Int(static_cast<int64_t>(training.seed()));
  json->Key("train_s").Double(training.seconds());
}

void WriteByLosses(const ErasureResult& erasures, JsonWriter* json) {
  json->Key("reconstructions").BeginObject();
  for (const DegradedAccuracy& row : erasures.a_d) {
    json->Key(absl::StrCat(row.losses)).Int(row.samples);
  }
  json->EndObject();
  json->Key("a_d_se").BeginObject();
  for (const DegradedAccuracy& row : erasures.a_d) {
    json->Key(absl::StrCat(row.losses)).Double(row.standard_error);
  }
  json->EndObject();
}

void WriteError(std::optional<double> calibration_error, JsonWriter* json) {
  json->Key("ece");
  if (calibration_error) {
    json->Double(*calibration_error);
  } else {
    json->Null();
  }
}

void WriteRisk(const std::vector<RiskPoint>& risk, JsonWriter* json) {
  json->Key("risk_coverage").BeginArray();
  for (const RiskPoint& point : risk) {
    json->BeginObject();
    json->Key("coverage").Double(point.coverage);
    json->Key("accuracy").Double(point.accuracy);
    json->Key("deployed_accuracy").Double(point.deployed_accuracy);
    json->EndObject();
  }
  json->EndArray();
}

/// Of a table: what it stated on the mean, and the share that was right.
void WriteStated(const std::vector<ReliabilityPoint>& reliability,
                 JsonWriter* json) {
  double stated = 0;
  double found = 0;
  int64_t decodes = 0;
  for (const ReliabilityPoint& point : reliability) {
    stated += point.stated * static_cast<double>(point.decodes);
    found += point.found * static_cast<double>(point.decodes);
    decodes += point.decodes;
  }
  if (decodes == 0) {
    json->Key("stated").Null();
    json->Key("found").Null();
    return;
  }
  json->Key("stated").Double(stated / static_cast<double>(decodes));
  json->Key("found").Double(found / static_cast<double>(decodes));
}

void WritePatterns(const std::vector<PatternFigures>& patterns,
                   JsonWriter* json) {
  json->Key("patterns").BeginArray();
  for (const PatternFigures& figures : patterns) {
    json->BeginObject();
    json->Key("losses").Int(figures.pattern.losses);
    json->Key("parities").BeginArray();
    for (const uint32_t parity : ParitiesOf(figures.pattern)) {
      json->Int(parity);
    }
    json->EndArray();
    json->Key("a_d").Double(figures.a_d.accuracy);
    json->Key("a_d_se").Double(figures.a_d.standard_error);
    json->Key("reconstructions").Int(figures.a_d.samples);
    WriteError(figures.calibration_error, json);
    WriteStated(figures.reliability, json);
    json->EndObject();
  }
  json->EndArray();
}

void WriteConfidence(const ParityFigures& parity, JsonWriter* json) {
  WriteError(parity.calibration_error, json);
  WriteRisk(parity.risk, json);
  json->Key("reliability").BeginArray();
  for (const ReliabilityPoint& point : parity.reliability) {
    json->BeginObject();
    json->Key("stated").Double(point.stated);
    json->Key("found").Double(point.found);
    json->Key("samples").Int(point.decodes);
    json->EndObject();
  }
  json->EndArray();
  if (parity.sibling_risk.empty()) return;
  json->Key("with_siblings").BeginObject();
  WriteError(parity.sibling_calibration_error, json);
  WriteRisk(parity.sibling_risk, json);
  json->EndObject();
}

void WriteParityFigures(const ParityFigures& parity, int64_t num_classes,
                        JsonWriter* json) {
  json->Key("code").BeginObject();
  json->Key("scheme").String(parity.code.scheme);
  json->Key("k").Int(parity.code.k);
  json->Key("r").Int(parity.code.r);
  json->EndObject();
  json->Key("groupings").Int(parity.erasures.groupings);
  json->Key("groups").Int(parity.erasures.groups);
  json->Key("leftover").Int(parity.erasures.leftover);
  WriteByLosses(parity.erasures, json);
  json->Key("per_class").BeginArray();
  for (const ClassCount& count : CountClasses(parity.erasures, num_classes)) {
    json->BeginObject();
    json->Key("samples").Int(count.samples);
    json->Key("a_a").Double(Share(count.deployed_right, count.samples));
    json->Key("a_d").Double(Share(count.decodes_right, count.samples));
    json->EndObject();
  }
  json->EndArray();
  WriteConfidence(parity, json);
  WritePatterns(parity.patterns, json);
  WriteMaking(parity, json);
}

std::string ToJson(const Dataset& data, const Report& report) {
  std::string text;
  JsonWriter json(&text);
  json.BeginObject();
  json.Key("a_a").Double(report.a_a);
  json.Key("a_d").BeginObject();
  if (report.parity) {
    for (const DegradedAccuracy& row : report.parity->erasures.a_d) {
      json.Key(absl::StrCat(row.losses)).Double(row.accuracy);
    }
  }
  json.EndObject();
  json.Key("data").String(data.source);
  json.Key("truth").String(TruthOf(data));
  json.Key("samples").Int(data.test.size());
  if (report.parity) {
    WriteParityFigures(*report.parity, data.num_classes, &json);
  }
  json.EndObject();
  text.push_back('\n');
  return text;
}

std::string DrawConfidence(const ParityFigures& parity) {
  Curve ideal = {
      .label = "as stated", .points = {{1, 1}, {0, 0}}, .dashed = true};
  Curve found = {.label = "found"};
  for (const ReliabilityPoint& point : parity.reliability) {
    found.points.push_back({point.stated, point.found});
  }
  // From the least that is stated, where something happens.
  if (!found.points.empty()) {
    ideal.points[1] = {found.points[0].x, found.points[0].x};
  }
  Curve decoded = {.label = "reconstructions"};
  Curve exact = {.label = "deployed model, same samples", .dashed = true};
  for (const RiskPoint& point : parity.risk) {
    decoded.points.push_back({100 * point.coverage, 100 * point.accuracy});
    exact.points.push_back(
        {100 * point.coverage, 100 * point.deployed_accuracy});
  }
  const Panel panels[] = {{.x_label = "stated probability of being right",
                           .y_label = "share that is right",
                           .curves = {found, ideal}},
                          {.x_label = "coverage, most confident first, %",
                           .y_label = "accuracy, %",
                           .curves = {decoded, exact}}};
  return DrawPanels(panels);
}

/// The half that the decoder is surest of, or empty.
std::string DescribeSurestHalf(const std::vector<RiskPoint>& risk) {
  for (const RiskPoint& point : risk) {
    if (std::abs(point.coverage - 0.5) > 1e-9) continue;
    return absl::StrFormat(
        ", most confident half %.2f %% (deployed model there %.2f %%)",
        100 * point.accuracy, 100 * point.deployed_accuracy);
  }
  return "";
}

std::string ToText(const Report& report, const Dataset& data) {
  std::string text = DescribeDeployedAccuracy(report.a_a, data);
  if (!report.parity) return text;
  const ParityFigures& parity = *report.parity;
  for (const DegradedAccuracy& row : parity.erasures.a_d) {
    absl::StrAppend(
        &text, absl::StrFormat(", A_d %.2f +- %.2f %% at %d lost of %d",
                               100 * row.accuracy, 100 * row.standard_error,
                               row.losses, parity.code.k));
  }
  if (parity.calibration_error) {
    absl::StrAppend(&text, absl::StrFormat(", ECE %.2f %%",
                                           100 * *parity.calibration_error));
  }
  absl::StrAppend(&text, DescribeSurestHalf(parity.risk));
  if (parity.erasures.leftover > 0) {
    absl::StrAppend(&text, "; the last ", parity.erasures.leftover,
                    " samples form a group with members of another");
  }
  const double drop = report.a_a - report.OneLossAccuracy();
  if (drop > kUnsuitableDrop) {
    absl::StrAppend(
        &text,
        absl::StrFormat("\nunsuitable: reconstructions are right %.1f points "
                        "less often than the deployed model; serve them only "
                        "where no answer is worse",
                        100 * drop));
  }
  return text;
}

/// Errors: kOutOfRange if A_d at one loss is below what is required.
absl::Status CheckRequirement(const EvaluateOptions& options,
                              const Report& report) {
  if (options.require_a_d <= 0) return absl::OkStatus();
  const double a_d = report.OneLossAccuracy();
  if (a_d >= options.require_a_d) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrFormat("A_d falls short: got %.2f %% at one loss, want %.2f %%",
                      100 * a_d, 100 * options.require_a_d));
}

}  // namespace

absl::StatusOr<std::string> RunEvaluateCommand(const EvaluateOptions& options) {
  if (!options.picture_file.empty() && options.parity.empty()) {
    return absl::InvalidArgumentError(
        "--picture needs a parity bundle: it shows how far its reconstructions "
        "can be trusted");
  }
  if (options.require_a_d > 0 && options.parity.empty()) {
    return absl::InvalidArgumentError(
        "--require-a-d needs a parity bundle: there is no A_d without "
        "--parity");
  }
  PARM_ASSIGN_OR_RETURN(const DeployedModel deployed,
                        LoadDeployedModel(options.deployed));
  PARM_ASSIGN_OR_RETURN(const Dataset data, LoadDataFor(deployed, options.data,
                                                        /*with_train=*/false));
  PARM_ASSIGN_OR_RETURN(
      const HostTensor logits,
      deployed.runner.RunAll(data, data.test, deployed.input.datatype));
  Report report{.a_a = Accuracy(logits, data.test.labels)};
  if (!options.parity.empty()) {
    PARM_ASSIGN_OR_RETURN(const ParityModel parity,
                          LoadParityModel(deployed, options.parity));
    PARM_ASSIGN_OR_RETURN(report.parity,
                          EvaluateParity(parity, deployed, data, logits));
  }
  if (!options.logits_file.empty()) {
    PARM_RETURN_IF_ERROR(
        WriteFileAtomically(options.logits_file, SerializeNpy(logits)));
  }
  if (!options.json_file.empty()) {
    PARM_RETURN_IF_ERROR(
        WriteFileAtomically(options.json_file, ToJson(data, report)));
  }
  if (!options.picture_file.empty()) {
    PARM_RETURN_IF_ERROR(WriteFileAtomically(options.picture_file,
                                             DrawConfidence(*report.parity)));
  }
  PARM_RETURN_IF_ERROR(CheckRequirement(options, report));
  return ToText(report, data);
}

}  // namespace parm
