#include "parity_trainer/evaluate_command.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json_writer.h"
#include "base/status_macros.h"
#include "encoder/code.h"
#include "parity_trainer/atomic_file.h"
#include "parity_trainer/deployed_model.h"
#include "parity_trainer/evaluation.h"
#include "parity_trainer/npy.h"

namespace parm {
namespace {

struct Report {
  CodeSpec code;
  ErasureResult erasures;
  double a_a = 0;
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
  return absl::OkStatus();
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
  json.Key("samples").Int(data.test.size());
  if (!options.parity.empty()) {
    json.Key("code").BeginObject();
    json.Key("scheme").String(report.code.scheme);
    json.Key("k").Int(report.code.k);
    json.Key("r").Int(report.code.r);
    json.EndObject();
    json.Key("groups").Int(report.erasures.groups);
    json.Key("leftover").Int(report.erasures.leftover);
    json.Key("reconstructions").BeginObject();
    for (const DegradedAccuracy& row : report.erasures.a_d) {
      json.Key(absl::StrCat(row.losses)).Int(row.samples);
    }
    json.EndObject();
  }
  json.EndObject();
  text.push_back('\n');
  return text;
}

}  // namespace

absl::StatusOr<std::string> RunEvaluateCommand(const EvaluateOptions& options) {
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
  std::string line =
      absl::StrFormat("A_a %.2f %% of %d", 100 * report.a_a, data.test.size());
  for (const DegradedAccuracy& row : report.erasures.a_d) {
    absl::StrAppend(
        &line, absl::StrFormat(", A_d %.2f %% at %d lost of %d",
                               100 * row.accuracy, row.losses, report.code.k));
  }
  if (report.erasures.leftover > 0) {
    absl::StrAppend(&line, "; the last ", report.erasures.leftover,
                    " samples form a group with the set's first ones");
  }
  return line;
}

}  // namespace parm
