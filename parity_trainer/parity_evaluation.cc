#include "parity_trainer/parity_evaluation.h"

#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/group_encoder.h"

namespace parm {
namespace {

std::vector<ConfidenceStep> TableOf(const bundle::Measured& measured) {
  std::vector<ConfidenceStep> table;
  for (const bundle::CalibrationBin& bin : measured.calibration()) {
    table.push_back({.margin_at_least = bin.margin_at_least(),
                     .probability_right = bin.probability_right(),
                     .samples = bin.samples()});
  }
  return table;
}

}  // namespace

absl::StatusOr<ParityModel> LoadParityModel(const DeployedModel& deployed,
                                            const std::string& directory) {
  PARM_ASSIGN_OR_RETURN(Bundle bundle, LoadBundle(directory));
  if (bundle.manifest.role() != "parity") {
    return absl::InvalidArgumentError(
        absl::StrCat("bundle has the wrong role: got ", bundle.manifest.role(),
                     ", want parity: ", directory));
  }
  const bundle::Lineage& lineage = bundle.manifest.lineage();
  if (lineage.deployed_sha256() != ToHex(deployed.bundle.id)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "parity was made for another deployed bundle: got ",
        lineage.deployed_sha256(), ", want ", ToHex(deployed.bundle.id)));
  }
  const CodeSpec spec = {.scheme = lineage.code().scheme(),
                         .k = static_cast<int>(lineage.code().k()),
                         .r = static_cast<int>(lineage.code().r())};
  PARM_ASSIGN_OR_RETURN(std::unique_ptr<const Code> code, CreateCode(spec));
  if (spec.r != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("code needs several parity bundles: got ", ToString(spec),
                     ", want r=1"));
  }
  PARM_ASSIGN_OR_RETURN(const std::string model_bytes,
                        ReadModelFile(bundle.model_path));
  PARM_ASSIGN_OR_RETURN(ModelRunner runner, ModelRunner::Create(model_bytes));
  return ParityModel{.bundle = std::move(bundle),
                     .code = std::move(code),
                     .runner = std::move(runner)};
}

absl::StatusOr<HostTensor> ExampleQuery(const Code& code, const Dataset& data,
                                        DataType datatype) {
  const int64_t k = code.spec().k;
  if (data.test.size() < k) {
    return absl::InvalidArgumentError(
        absl::StrCat("data set is smaller than a group: got ", data.test.size(),
                     " test samples, want at least k = ", k));
  }
  std::vector<int64_t> members(static_cast<size_t>(k));
  std::iota(members.begin(), members.end(), int64_t{0});
  return EncodeGroups(code, 0, data, data.test, members, datatype);
}

absl::StatusOr<ParityFigures> EvaluateParity(
    const ParityModel& parity, const DeployedModel& deployed,
    const Dataset& data, const HostTensor& deployed_logits) {
  ParityFigures figures = {.manifest = parity.bundle.manifest,
                           .code = parity.code->spec()};
  PARM_ASSIGN_OR_RETURN(
      const HostTensor query,
      ExampleQuery(*parity.code, data, deployed.input.datatype));
  figures.query_bytes = static_cast<int64_t>(query.bytes.size());
  PARM_ASSIGN_OR_RETURN(
      figures.erasures,
      EvaluateErasures(*parity.code, {&parity.runner}, data,
                       deployed.input.datatype, deployed_logits));
  // The bundle's table is from the even groups.
  const std::vector<JudgedDecode> judged = figures.erasures.Half(/*odd=*/true);
  figures.calibration_error =
      CalibrationError(TableOf(figures.manifest.measured()), judged);
  figures.risk = RiskCoverage(judged);
  return figures;
}

}  // namespace parm
