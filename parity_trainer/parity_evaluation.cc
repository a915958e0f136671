#include "parity_trainer/parity_evaluation.h"

#include <filesystem>
#include <numeric>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/cost.h"
#include "parity_trainer/group_encoder.h"
#include "proto/machine_name.h"

namespace parm {
namespace {

using Bins = google::protobuf::RepeatedPtrField<bundle::CalibrationBin>;

std::vector<ConfidenceStep> TableOf(const Bins& bins) {
  std::vector<ConfidenceStep> table;
  for (const bundle::CalibrationBin& bin : bins) {
    table.push_back({.margin_at_least = bin.margin_at_least(),
                     .probability_right = bin.probability_right(),
                     .samples = bin.samples()});
  }
  return table;
}

void SetBins(const std::vector<ConfidenceStep>& table, Bins* bins) {
  for (const ConfidenceStep& step : table) {
    bundle::CalibrationBin* bin = bins->Add();
    bin->set_margin_at_least(step.margin_at_least);
    bin->set_probability_right(step.probability_right);
    bin->set_samples(step.samples);
  }
}

DecodePattern PatternOf(const bundle::PatternCalibration& calibration) {
  DecodePattern pattern = {.losses = static_cast<int>(calibration.losses()),
                           .parities = 0};
  for (const uint32_t parity : calibration.parities()) {
    pattern.parities |= 1U << parity;
  }
  return pattern;
}

CodeSpec CodeOf(const Bundle& bundle) {
  const bundle::Code& code = bundle.manifest.lineage().code();
  return {.scheme = code.scheme(),
          .k = static_cast<int>(code.k()),
          .r = static_cast<int>(code.r())};
}

absl::StatusOr<Bundle> LoadParityBundle(const DeployedModel& deployed,
                                        const std::string& directory) {
  PARM_ASSIGN_OR_RETURN(Bundle bundle, LoadBundle(directory));
  if (bundle.manifest.role() != "parity") {
    return absl::InvalidArgumentError(
        absl::StrCat("bundle has the wrong role: got ", bundle.manifest.role(),
                     ", want parity: ", directory));
  }
  const std::string& made_for = bundle.manifest.lineage().deployed_sha256();
  if (made_for != ToHex(deployed.bundle.id)) {
    return absl::FailedPreconditionError(
        absl::StrCat("parity was made for another deployed bundle: got ",
                     made_for, ", want ", ToHex(deployed.bundle.id)));
  }
  return bundle;
}

/// What half of the test set says of margins, and what the other half of that.
void SetConfidence(const ErasureResult& erasures, bundle::Measured* measured) {
  const std::vector<ConfidenceStep> table =
      FitConfidence(HalfOf(erasures.decodes, /*odd=*/false));
  SetBins(table, measured->mutable_calibration());
  const std::optional<double> error =
      CalibrationError(table, HalfOf(erasures.decodes, /*odd=*/true));
  if (error) measured->set_calibration_error(*error);
  for (const PatternResult& result : erasures.patterns) {
    const std::vector<ConfidenceStep> steps =
        FitConfidence(HalfOf(result.decodes, /*odd=*/false));
    if (steps.empty()) continue;
    bundle::PatternCalibration* of_pattern =
        measured->add_pattern_calibration();
    of_pattern->set_losses(static_cast<uint32_t>(result.pattern.losses));
    for (const uint32_t parity : ParitiesOf(result.pattern)) {
      of_pattern->add_parities(parity);
    }
    SetBins(steps, of_pattern->mutable_calibration());
    const std::optional<double> of_steps =
        CalibrationError(steps, HalfOf(result.decodes, /*odd=*/true));
    if (of_steps) of_pattern->set_calibration_error(*of_steps);
  }
}

/// Of the first parity that is used; those that were measured together say the
/// same.
std::vector<ConfidenceStep> TableOfPattern(const ParityModel& parity,
                                           const DecodePattern& pattern) {
  const bundle::Measured& measured =
      parity.measured.at(ParitiesOf(pattern).at(0));
  for (const auto& calibration : measured.pattern_calibration()) {
    if (PatternOf(calibration) == pattern) {
      return TableOf(calibration.calibration());
    }
  }
  return {};
}

PatternFigures FiguresOf(const PatternResult& result,
                         const ParityModel& parity) {
  PatternFigures figures = {.pattern = result.pattern, .a_d = result.a_d};
  const std::vector<JudgedDecode> judged = HalfOf(result.decodes, /*odd=*/true);
  const std::vector<ConfidenceStep> table =
      TableOfPattern(parity, result.pattern);
  figures.calibration_error = CalibrationError(table, judged);
  figures.reliability = Reliability(table, judged);
  return figures;
}

}  // namespace

std::vector<const ModelRunner*> ParityModel::Runners() const {
  std::vector<const ModelRunner*> all;
  for (const ModelRunner& runner : runners) all.push_back(&runner);
  return all;
}

std::vector<uint32_t> ParitiesOf(const DecodePattern& pattern) {
  std::vector<uint32_t> parities;
  for (uint32_t parity = 0; pattern.parities >> parity != 0; ++parity) {
    if ((pattern.parities >> parity & 1U) != 0) parities.push_back(parity);
  }
  return parities;
}

std::string ParityDirectory(const std::string& directory, const CodeSpec& code,
                            int parity_index) {
  return code.r == 1 ? directory : absl::StrCat(directory, "/", parity_index);
}

absl::StatusOr<ParityModel> LoadParityModel(const DeployedModel& deployed,
                                            const std::string& directory) {
  const std::string first = absl::StrCat(directory, "/0");
  std::error_code ignored;
  const bool several = std::filesystem::exists(first, ignored);
  PARM_ASSIGN_OR_RETURN(
      Bundle bundle, LoadParityBundle(deployed, several ? first : directory));
  const CodeSpec spec = CodeOf(bundle);
  if (several != (spec.r > 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("parity bundle is in the wrong place: got ",
                     ToString(spec), " in ", bundle.directory,
                     ", want the folder that holds the bundles of all its "
                     "parities as 0, 1 .., or the only bundle"));
  }
  PARM_ASSIGN_OR_RETURN(std::unique_ptr<const Code> code, CreateCode(spec));
  ParityModel model = {.bundle = std::move(bundle), .code = std::move(code)};
  for (int parity = 0; parity < spec.r; ++parity) {
    PARM_ASSIGN_OR_RETURN(
        const Bundle one,
        LoadParityBundle(deployed, ParityDirectory(directory, spec, parity)));
    const auto index = static_cast<int>(one.manifest.lineage().parity_index());
    if (CodeOf(one) != spec || index != parity) {
      return absl::InvalidArgumentError(absl::StrCat(
          "parity bundle belongs elsewhere: got ", ToString(CodeOf(one)),
          " parity ", index, ", want ", ToString(spec), " parity ", parity,
          ": ", one.directory));
    }
    PARM_ASSIGN_OR_RETURN(const std::string model_bytes,
                          ReadModelFile(one.model_path));
    PARM_ASSIGN_OR_RETURN(ModelRunner runner, ModelRunner::Create(model_bytes));
    model.runners.push_back(std::move(runner));
    model.measured.push_back(one.manifest.measured());
  }
  return model;
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

absl::StatusOr<bundle::Measured> MeasureModels(
    const DeployedModel& deployed, const Code& code,
    const std::vector<const ModelRunner*>& runners, const Dataset& data,
    const HostTensor& deployed_logits) {
  PARM_ASSIGN_OR_RETURN(
      const ErasureResult erasures,
      EvaluateErasures(code, runners, data, deployed.input.datatype,
                       deployed_logits));
  PARM_ASSIGN_OR_RETURN(const HostTensor query,
                        ExampleQuery(code, data, deployed.input.datatype));
  PARM_ASSIGN_OR_RETURN(
      const double cost,
      MeasureRelativeCost(
          *runners[0], query, deployed.runner,
          GatherSamples(data, data.test, {0}, deployed.input.datatype)));
  bundle::Measured measured;
  measured.set_data(data.source);
  measured.set_samples(data.test.size());
  measured.set_truth(std::string(TruthOf(data)));
  measured.set_a_a(Accuracy(deployed_logits, data.test.labels));
  measured.set_relative_cost(cost);
  measured.set_cost_machine(MachineName());
  for (const DegradedAccuracy& degraded : erasures.a_d) {
    bundle::DegradedAccuracy* row = measured.add_a_d();
    row->set_losses(static_cast<uint32_t>(degraded.losses));
    row->set_accuracy(degraded.accuracy);
    row->set_samples(degraded.samples);
    row->set_standard_error(degraded.standard_error);
  }
  SetConfidence(erasures, &measured);
  return measured;
}

bundle::Measured MeasuredOfParity(const bundle::Measured& measured,
                                  int parity_index) {
  bundle::Measured own = measured;
  own.clear_pattern_calibration();
  for (const auto& calibration : measured.pattern_calibration()) {
    const uint32_t parities = PatternOf(calibration).parities;
    if ((parities >> parity_index & 1U) == 0) continue;
    *own.add_pattern_calibration() = calibration;
  }
  return own;
}

absl::StatusOr<ParityFigures> EvaluateParity(
    const ParityModel& parity, const DeployedModel& deployed,
    const Dataset& data, const HostTensor& deployed_logits) {
  ParityFigures figures = {.manifest = parity.bundle.manifest,
                           .code = parity.code->spec()};
  PARM_ASSIGN_OR_RETURN(
      const HostTensor query,
      ExampleQuery(*parity.code, data, deployed.input.datatype));
  figures.query_bytes =
      static_cast<int64_t>(query.bytes.size()) * figures.code.r;
  figures.relative_cost =
      figures.manifest.measured().relative_cost() * figures.code.r;
  PARM_ASSIGN_OR_RETURN(
      figures.erasures,
      EvaluateErasures(*parity.code, parity.Runners(), data,
                       deployed.input.datatype, deployed_logits));
  // The bundle's table is from the even groups.
  const std::vector<JudgedDecode> judged =
      HalfOf(figures.erasures.decodes, /*odd=*/true);
  const std::vector<ConfidenceStep> table =
      TableOf(figures.manifest.measured().calibration());
  figures.calibration_error = CalibrationError(table, judged);
  figures.risk = RiskCoverage(judged);
  figures.reliability = Reliability(table, judged);
  for (const PatternResult& result : figures.erasures.patterns) {
    figures.patterns.push_back(FiguresOf(result, parity));
  }
  const std::optional<SiblingConfidence> siblings =
      FitSiblingConfidence(HalfOf(figures.erasures.decodes, /*odd=*/false));
  if (siblings) {
    figures.sibling_calibration_error =
        SiblingCalibrationError(*siblings, judged);
    figures.sibling_risk = SiblingRiskCoverage(*siblings, judged);
  }
  return figures;
}

}  // namespace parm
