#include "parity_trainer/evaluate_command.h"

#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json_writer.h"
#include "base/status_macros.h"
#include "encoder/code.h"
#include "parity_trainer/calibration.h"
#include "parity_trainer/deployed_model.h"
#include "parity_trainer/evaluation.h"
#include "parity_trainer/npy.h"
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
  CodeSpec code;
  ErasureResult erasures;
  double a_a = 0;
  std::optional<double> calibration_error;
  std::vector<RiskPoint> risk;
};

absl::StatusOr<Bundle> LoadParityOf(const Bundle& deployed,
                                    const std::string& directory) {
  PARM_ASSIGN_OR_RETURN(Bundle parity, LoadBundle(directory));
  if (parity.manifest.role() != "parity") {
    return absl::InvalidArgumentError(
        absl::StrCat("bundle has the wrong role: got ", parity.manifest.role(),
                     ", want parity: ", directory));
  }
  const std::string& lineage = parity.manifest.lineage().deployed_sha256();
  if (lineage != ToHex(deployed.id)) {
    return absl::FailedPreconditionError(
        absl::StrCat("parity was made for another deployed bundle: got ",
                     lineage, ", want ", ToHex(deployed.id)));
  }
  return parity;
}

absl::Status EvaluateParity(const EvaluateOptions& options,
                            const DeployedModel& deployed, const Dataset& data,
                            const HostTensor& logits, Report* report) {
  PARM_ASSIGN_OR_RETURN(const Bundle parity,
                        LoadParityOf(deployed.bundle, options.parity));
  const bundle::Code& named = parity.manifest.lineage().code();
  report->code = {.scheme = named.scheme(),
                  .k = static_cast<int>(named.k()),
                  .r = static_cast<int>(named.r())};
  PARM_ASSIGN_OR_RETURN(const std::unique_ptr<const Code> code,
                        CreateCode(report->code));
  if (report->code.r != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("code needs several parity bundles: got ",
                     ToString(report->code), ", want r=1"));
  }
  if (data.test.size() < report->code.k) {
    return absl::InvalidArgumentError(
        absl::StrCat("data set is smaller than a group: got ", data.test.size(),
                     " test samples, want at least k = ", report->code.k));
  }
  PARM_ASSIGN_OR_RETURN(const std::string model_bytes,
                        ReadModelFile(parity.model_path));
  PARM_ASSIGN_OR_RETURN(const ModelRunner runner,
                        ModelRunner::Create(model_bytes));
  PARM_ASSIGN_OR_RETURN(report->erasures,
                        EvaluateErasures(*code, {&runner}, data,
                                         deployed.input.datatype, logits));
  std::vector<ConfidenceStep> table;
  for (const auto& bin : parity.manifest.measured().calibration()) {
    table.push_back({.margin_at_least = bin.margin_at_least(),
                     .probability_right = bin.probability_right(),
                     .samples = bin.samples()});
  }
  // The bundle's table is from the even groups.
  const std::vector<JudgedDecode> judged = report->erasures.Half(/*odd=*/true);
  report->calibration_error = CalibrationError(table, judged);
  report->risk = RiskCoverage(judged);
  return absl::OkStatus();
}

/// By label, with what each class has of test samples.
std::vector<ClassCount> CountClasses(const Report& report,
                                     int64_t num_classes) {
  std::vector<ClassCount> counts(static_cast<size_t>(num_classes));
  for (const JudgedDecode& decode : report.erasures.decodes) {
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

void WriteParityFigures(const Report& report, const Dataset& data,
                        JsonWriter* json) {
  json->Key("code").BeginObject();
  json->Key("scheme").String(report.code.scheme);
  json->Key("k").Int(report.code.k);
  json->Key("r").Int(report.code.r);
  json->EndObject();
  json->Key("groups").Int(report.erasures.groups);
  json->Key("leftover").Int(report.erasures.leftover);
  json->Key("reconstructions").BeginObject();
  for (const DegradedAccuracy& row : report.erasures.a_d) {
    json->Key(absl::StrCat(row.losses)).Int(row.samples);
  }
  json->EndObject();
  json->Key("a_d_se").BeginObject();
  for (const DegradedAccuracy& row : report.erasures.a_d) {
    json->Key(absl::StrCat(row.losses)).Double(row.standard_error);
  }
  json->EndObject();
  json->Key("per_class").BeginArray();
  for (const ClassCount& count : CountClasses(report, data.num_classes)) {
    json->BeginObject();
    json->Key("samples").Int(count.samples);
    json->Key("a_a").Double(Share(count.deployed_right, count.samples));
    json->Key("a_d").Double(Share(count.decodes_right, count.samples));
    json->EndObject();
  }
  json->EndArray();
  json->Key("ece");
  if (report.calibration_error) {
    json->Double(*report.calibration_error);
  } else {
    json->Null();
  }
  json->Key("risk_coverage").BeginArray();
  for (const RiskPoint& point : report.risk) {
    json->BeginObject();
    json->Key("coverage").Double(point.coverage);
    json->Key("accuracy").Double(point.accuracy);
    json->Key("deployed_accuracy").Double(point.deployed_accuracy);
    json->EndObject();
  }
  json->EndArray();
}

std::string ToJson(const EvaluateOptions& options, const Dataset& data,
                   const Report& report) {
  std::string text;
  JsonWriter json(&text);
  json.BeginObject();
  json.Key("a_a").Double(report.a_a);
  json.Key("a_d").BeginObject();
  for (const DegradedAccuracy& row : report.erasures.a_d) {
    json.Key(absl::StrCat(row.losses)).Double(row.accuracy);
  }
  json.EndObject();
  json.Key("data").String(data.source);
  json.Key("truth").String(TruthOf(data));
  json.Key("samples").Int(data.test.size());
  if (!options.parity.empty()) {
    WriteParityFigures(report, data, &json);
  }
  json.EndObject();
  text.push_back('\n');
  return text;
}

std::string ToText(const Report& report, const Dataset& data) {
  std::string text = DescribeDeployedAccuracy(report.a_a, data);
  for (const DegradedAccuracy& row : report.erasures.a_d) {
    absl::StrAppend(
        &text, absl::StrFormat(", A_d %.2f +- %.2f %% at %d lost of "
                               "%d",
                               100 * row.accuracy, 100 * row.standard_error,
                               row.losses, report.code.k));
  }
  if (report.calibration_error) {
    absl::StrAppend(&text, absl::StrFormat(", ECE %.2f %%",
                                           100 * *report.calibration_error));
  }
  if (report.erasures.leftover > 0) {
    absl::StrAppend(&text, "; the last ", report.erasures.leftover,
                    " samples form a group with the set's first ones");
  }
  if (!report.erasures.a_d.empty() &&
      report.a_a - report.erasures.a_d[0].accuracy > kUnsuitableDrop) {
    absl::StrAppend(
        &text,
        absl::StrFormat("\nunsuitable: reconstructions are right %.1f points "
                        "less often than the deployed model; serve them only "
                        "where no answer is worse",
                        100 * (report.a_a - report.erasures.a_d[0].accuracy)));
  }
  return text;
}

/// Errors: kOutOfRange if A_d at one loss is below what is required.
absl::Status CheckRequirement(const EvaluateOptions& options,
                              const Report& report) {
  if (options.require_a_d <= 0) return absl::OkStatus();
  const double a_d =
      report.erasures.a_d.empty() ? 0 : report.erasures.a_d[0].accuracy;
  if (a_d >= options.require_a_d) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrFormat("A_d falls short: got %.2f %% at one loss, want %.2f %%",
                      100 * a_d, 100 * options.require_a_d));
}

}  // namespace

absl::StatusOr<std::string> RunEvaluateCommand(const EvaluateOptions& options) {
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
    PARM_RETURN_IF_ERROR(
        EvaluateParity(options, deployed, data, logits, &report));
  }
  if (!options.logits_file.empty()) {
    PARM_RETURN_IF_ERROR(
        WriteFileAtomically(options.logits_file, SerializeNpy(logits)));
  }
  if (!options.json_file.empty()) {
    PARM_RETURN_IF_ERROR(
        WriteFileAtomically(options.json_file, ToJson(options, data, report)));
  }
  PARM_RETURN_IF_ERROR(CheckRequirement(options, report));
  return ToText(report, data);
}

}  // namespace parm
