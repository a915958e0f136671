#include "proto/manifest_check.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/tensor.h"
#include "proto/sha256.h"
#include "proto/wire_codec.h"

namespace parm {
namespace {

using Bins = google::protobuf::RepeatedPtrField<bundle::CalibrationBin>;
using Patterns = google::protobuf::RepeatedPtrField<bundle::PatternCalibration>;
using Tensors = google::protobuf::RepeatedPtrField<bundle::Tensor>;

class Checker {
 public:
  Checker(absl::string_view file, const YamlLines& lines)
      : file_(file), lines_(lines) {}

  absl::Status CheckAll(const bundle::Manifest& manifest) const {
    if (manifest.format() != kManifestFormat) {
      return Error("format", "expected ", kManifestFormat, ", got ",
                   manifest.format());
    }
    PARM_RETURN_IF_ERROR(CheckName("model", manifest.model(), true));
    PARM_RETURN_IF_ERROR(CheckName("variant", manifest.variant(), false));
    PARM_RETURN_IF_ERROR(CheckName("version", manifest.version(), false));
    PARM_RETURN_IF_ERROR(CheckFileName("file", manifest.file()));
    PARM_RETURN_IF_ERROR(CheckHex("file_sha256", manifest.file_sha256()));
    PARM_RETURN_IF_ERROR(CheckTensors("inputs", manifest.inputs()));
    PARM_RETURN_IF_ERROR(CheckTensors("outputs", manifest.outputs()));
    PARM_RETURN_IF_ERROR(CheckRole(manifest));
    PARM_RETURN_IF_ERROR(CheckMeasured(manifest.measured()));
    PARM_RETURN_IF_ERROR(CheckPatterns(manifest));
    if (manifest.has_probes()) {
      PARM_RETURN_IF_ERROR(
          CheckFileName("probes.inputs_npy", manifest.probes().inputs_npy()));
      PARM_RETURN_IF_ERROR(
          CheckFileName("probes.outputs_npy", manifest.probes().outputs_npy()));
    }
    return absl::OkStatus();
  }

 private:
  // The line of the key, or of the nearest one above it that is there.
  int LineOf(std::string key) const {
    while (!key.empty()) {
      if (const auto at = lines_.find(key); at != lines_.end()) {
        return at->second;
      }
      const size_t end = key.find_last_of(".[");
      key.resize(end == std::string::npos ? 0 : end);
    }
    return 1;
  }

  template <typename... Parts>
  absl::Status Error(const std::string& key, const Parts&... parts) const {
    return absl::InvalidArgumentError(
        absl::StrCat(file_, ":", LineOf(key), ": ", key, ": ", parts...));
  }

  absl::Status CheckName(const std::string& key, const std::string& name,
                         bool needed) const {
    if (needed && name.empty()) return Error(key, "expected text, got none");
    if (name.size() <= wire::kMaxNameBytes) return absl::OkStatus();
    return Error(key, "expected at most ", wire::kMaxNameBytes, " bytes, got ",
                 name.size());
  }

  absl::Status CheckFileName(const std::string& key,
                             const std::string& name) const {
    PARM_RETURN_IF_ERROR(CheckName(key, name, true));
    if (absl::StrContains(name, '/') || name == "." || name == ".." ||
        name == kManifestFile || absl::StrContains(name, '\0')) {
      return Error(key, "expected the name of a file beside ", kManifestFile,
                   ", got \"", name, "\"");
    }
    return absl::OkStatus();
  }

  absl::Status CheckHex(const std::string& key, const std::string& hex) const {
    const absl::Status status = FromHex(hex).status();
    return status.ok() ? status : Error(key, status.message());
  }

  absl::Status CheckTensors(const std::string& key,
                            const Tensors& tensors) const {
    if (tensors.empty() || tensors.size() > wire::kMaxTensors) {
      return Error(key, "expected 1 to ", wire::kMaxTensors, " tensors, got ",
                   tensors.size());
    }
    std::set<std::string> names;
    for (int i = 0; i < tensors.size(); ++i) {
      const bundle::Tensor& tensor = tensors.Get(i);
      const std::string at = absl::StrCat(key, "[", i, "]");
      PARM_RETURN_IF_ERROR(CheckName(at + ".name", tensor.name(), true));
      if (!names.insert(tensor.name()).second) {
        return Error(at + ".name", "expected distinct names, got \"",
                     tensor.name(), "\" twice");
      }
      if (ParseDataType(tensor.datatype()) == DataType::kInvalid) {
        return Error(at + ".datatype", "expected a datatype such as FP32, got ",
                     "\"", tensor.datatype(), "\"");
      }
      PARM_RETURN_IF_ERROR(CheckShape(at + ".shape", tensor));
    }
    return absl::OkStatus();
  }

  absl::Status CheckShape(const std::string& key,
                          const bundle::Tensor& tensor) const {
    std::vector<int64_t> shape(tensor.shape().begin(), tensor.shape().end());
    if (shape.size() > static_cast<size_t>(wire::kMaxRank)) {
      return Error(key, "expected at most ", wire::kMaxRank,
                   " dimensions, got ", shape.size());
    }
    for (int64_t& dimension : shape) {
      if (dimension < -1 || dimension == 0) {
        return Error(key, "expected dimensions above 0, or -1 for any, got ",
                     dimension);
      }
      if (dimension == -1) dimension = 1;
    }
    const absl::Status status = NumBytes(DataType::kFp64, shape).status();
    return status.ok() ? status : Error(key, status.message());
  }

  absl::Status CheckRole(const bundle::Manifest& manifest) const {
    const std::string& role = manifest.role();
    if (role != "deployed" && role != "parity" && role != "backup") {
      return Error("role", "expected one of deployed|parity|backup, got \"",
                   role, "\"");
    }
    if (manifest.has_lineage() != (role == "parity")) {
      return Error(
          "lineage",
          role == "parity" ? "missing, and role is " : "given, though role is ",
          role);
    }
    if (!manifest.has_lineage()) return absl::OkStatus();
    const bundle::Lineage& lineage = manifest.lineage();
    PARM_RETURN_IF_ERROR(
        CheckHex("lineage.deployed_sha256", lineage.deployed_sha256()));
    const bundle::Code& code = lineage.code();
    PARM_RETURN_IF_ERROR(CheckName("lineage.code.scheme", code.scheme(), true));
    PARM_RETURN_IF_ERROR(
        CheckRange("lineage.code.k", code.k(), 1, wire::kMaxK));
    PARM_RETURN_IF_ERROR(
        CheckRange("lineage.code.r", code.r(), 1, wire::kMaxR));
    return CheckRange("lineage.parity_index", lineage.parity_index(), 0,
                      code.r() - 1);
  }

  absl::Status CheckRange(const std::string& key, uint32_t value,
                          uint32_t minimum, uint32_t maximum) const {
    if (minimum <= value && value <= maximum) return absl::OkStatus();
    return Error(key, "expected ", minimum, " to ", maximum, ", got ", value);
  }

  absl::Status CheckFraction(const std::string& key, double value) const {
    if (0 <= value && value <= 1) return absl::OkStatus();
    return Error(key, "expected a fraction, 0 to 1, got ", value);
  }

  absl::Status CheckSamples(const std::string& key, int64_t samples) const {
    if (samples >= 0) return absl::OkStatus();
    return Error(key, "expected a count, got ", samples);
  }

  absl::Status CheckMeasured(const bundle::Measured& measured) const {
    if (!measured.truth().empty() && measured.truth() != "labels" &&
        measured.truth() != "deployed") {
      return Error("measured.truth", "expected labels or deployed, got ",
                   measured.truth());
    }
    PARM_RETURN_IF_ERROR(CheckFraction("measured.a_a", measured.a_a()));
    PARM_RETURN_IF_ERROR(CheckSamples("measured.samples", measured.samples()));
    if (!(measured.relative_cost() >= 0)) {
      return Error("measured.relative_cost", "expected 0 or more, got ",
                   measured.relative_cost());
    }
    std::set<uint32_t> losses;
    for (int i = 0; i < measured.a_d_size(); ++i) {
      const bundle::DegradedAccuracy& a_d = measured.a_d(i);
      const std::string at = absl::StrCat("measured.a_d[", i, "]");
      if (a_d.losses() < 1 || !losses.insert(a_d.losses()).second) {
        return Error(at + ".losses", "expected distinct counts above 0, got ",
                     a_d.losses());
      }
      PARM_RETURN_IF_ERROR(CheckFraction(at + ".accuracy", a_d.accuracy()));
      PARM_RETURN_IF_ERROR(CheckSamples(at + ".samples", a_d.samples()));
      PARM_RETURN_IF_ERROR(
          CheckFraction(at + ".standard_error", a_d.standard_error()));
    }
    PARM_RETURN_IF_ERROR(CheckFraction("measured.calibration_error",
                                       measured.calibration_error()));
    return CheckBins("measured.calibration", measured.calibration());
  }

  // Of a bundle without lineage there is none: its k and r are 0.
  absl::Status CheckPatterns(const bundle::Manifest& manifest) const {
    const bundle::Lineage& lineage = manifest.lineage();
    const Patterns& patterns = manifest.measured().pattern_calibration();
    const std::string key = "measured.pattern_calibration";
    if (patterns.size() > wire::kMaxCalibrationPatterns) {
      return Error(key, "expected at most ", wire::kMaxCalibrationPatterns,
                   " patterns, got ", patterns.size());
    }
    std::set<std::pair<uint32_t, std::vector<uint32_t>>> seen;
    for (int i = 0; i < patterns.size(); ++i) {
      const bundle::PatternCalibration& pattern = patterns.Get(i);
      const std::string at = absl::StrCat(key, "[", i, "]");
      PARM_RETURN_IF_ERROR(
          CheckRange(at + ".losses", pattern.losses(), 1, lineage.code().k()));
      PARM_RETURN_IF_ERROR(CheckParities(at + ".parities", pattern, lineage));
      if (!seen.emplace(pattern.losses(),
                        std::vector<uint32_t>(pattern.parities().begin(),
                                              pattern.parities().end()))
               .second) {
        return Error(at, "expected distinct patterns, got one twice");
      }
      PARM_RETURN_IF_ERROR(CheckFraction(at + ".calibration_error",
                                         pattern.calibration_error()));
      PARM_RETURN_IF_ERROR(
          CheckBins(at + ".calibration", pattern.calibration()));
    }
    return absl::OkStatus();
  }

  absl::Status CheckParities(const std::string& key,
                             const bundle::PatternCalibration& pattern,
                             const bundle::Lineage& lineage) const {
    bool has_own = false;
    for (int i = 0; i < pattern.parities_size(); ++i) {
      const uint32_t parity = pattern.parities(i);
      has_own |= parity == lineage.parity_index();
      if (parity >= lineage.code().r() ||
          (i > 0 && parity <= pattern.parities(i - 1))) {
        return Error(key, "expected ascending numbers below r = ",
                     lineage.code().r(), ", got ", parity);
      }
    }
    if (has_own) return absl::OkStatus();
    return Error(key, "expected the bundle's own parity ",
                 lineage.parity_index(), " among them");
  }

  absl::Status CheckBins(const std::string& key, const Bins& bins) const {
    if (bins.size() > wire::kMaxCalibrationBins) {
      return Error(key, "expected at most ", wire::kMaxCalibrationBins,
                   " bins, got ", bins.size());
    }
    for (int i = 0; i < bins.size(); ++i) {
      const bundle::CalibrationBin& bin = bins.Get(i);
      const std::string at = absl::StrCat(key, "[", i, "]");
      if (i > 0 &&
          !(bin.margin_at_least() > bins.Get(i - 1).margin_at_least())) {
        return Error(at + ".margin_at_least",
                     "expected ascending margins, got ", bin.margin_at_least());
      }
      PARM_RETURN_IF_ERROR(
          CheckFraction(at + ".probability_right", bin.probability_right()));
      PARM_RETURN_IF_ERROR(CheckSamples(at + ".samples", bin.samples()));
    }
    return absl::OkStatus();
  }

  const absl::string_view file_;
  const YamlLines& lines_;
};

}  // namespace

absl::Status CheckManifest(const bundle::Manifest& manifest,
                           absl::string_view file, const YamlLines& lines) {
  return Checker(file, lines).CheckAll(manifest);
}

}  // namespace parm
