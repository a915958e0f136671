#include "proto/manifest_check.h"

#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/test_manifest.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

const std::string kDigest(64, 'a');

bundle::Manifest Checked(bundle::Manifest manifest) {
  manifest.set_format(kManifestFormat);
  manifest.set_file_sha256(kDigest);
  return manifest;
}
bundle::Manifest Deployed() { return Checked(DeployedManifest()); }
bundle::Manifest Parity() { return Checked(ParityManifest(kDigest)); }

// Expects that the manifest, changed by `change`, is refused with `message`.
template <typename Change>
void ExpectRefused(bundle::Manifest manifest, Change change,
                   const std::string& message) {
  change(manifest);
  EXPECT_THAT(CheckManifest(manifest, "b.yaml", {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
}

TEST(ManifestCheckTest, AcceptsDeployedParityAndBackup) {
  EXPECT_THAT(CheckManifest(Deployed(), "b.yaml", {}), IsOk());
  EXPECT_THAT(CheckManifest(Parity(), "b.yaml", {}), IsOk());
  bundle::Manifest backup = Deployed();
  backup.set_role("backup");
  EXPECT_THAT(CheckManifest(backup, "b.yaml", {}), IsOk());
}

TEST(ManifestCheckTest, NamesTheLineOfTheNearestKey) {
  bundle::Manifest manifest;
  YamlLines lines;
  ASSERT_THAT(ParseStrictYaml(absl::StrCat("format: 1\nmodel: m\nfile: f\n",
                                           "file_sha256: ", kDigest,
                                           "\ninputs:\n  - name: x\n"
                                           "    shape: [1, 0]\n"
                                           "    datatype: FP32\n"),
                              "b.yaml", &manifest, &lines),
              IsOk());
  EXPECT_THAT(CheckManifest(manifest, "b.yaml", lines),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "b.yaml:7: inputs[0].shape: expected dimensions above "
                       "0, or -1 for any, got 0"));
  manifest.mutable_inputs(0)->clear_shape();
  EXPECT_THAT(
      CheckManifest(manifest, "b.yaml", lines),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("b.yaml:1: ")));
  manifest.mutable_inputs(0)->clear_datatype();
  EXPECT_THAT(
      CheckManifest(manifest, "b.yaml", lines),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("b.yaml:8: ")));
}

TEST(ManifestCheckTest, RefusesOtherFormats) {
  ExpectRefused(
      Deployed(), [](auto& m) { m.set_format(2); },
      "format: expected 1, got 2");
  ExpectRefused(
      Deployed(), [](auto& m) { m.clear_format(); },
      "format: expected 1, got 0");
}

TEST(ManifestCheckTest, RefusesNamesThatAreEmptyOrLong) {
  ExpectRefused(
      Deployed(), [](auto& m) { m.clear_model(); },
      "model: expected text, got none");
  ExpectRefused(
      Deployed(), [](auto& m) { m.set_model(std::string(1025, 'm')); },
      "model: expected at most 1024 bytes, got 1025");
  ExpectRefused(
      Deployed(), [](auto& m) { m.set_variant(std::string(1025, 'm')); },
      "variant: expected at most 1024 bytes");
  ExpectRefused(
      Deployed(), [](auto& m) { m.set_version(std::string(1025, 'm')); },
      "version: expected at most 1024 bytes");
}

TEST(ManifestCheckTest, RefusesFileNamesThatLeaveTheFolder) {
  for (const char* name :
       {"../model.pt", "/etc/passwd", "a/b", ".", "..", "bundle.yaml"}) {
    SCOPED_TRACE(name);
    ExpectRefused(
        Deployed(), [name](auto& m) { m.set_file(name); },
        "file: expected the name of a file beside bundle.yaml");
    ExpectRefused(
        Deployed(),
        [name](auto& m) {
          m.mutable_probes()->set_inputs_npy("in.npy");
          m.mutable_probes()->set_outputs_npy(name);
        },
        "probes.outputs_npy: expected the name of a file");
  }
  ExpectRefused(
      Deployed(), [](auto& m) { m.mutable_probes(); },
      "probes.inputs_npy: expected text, got none");
}

TEST(ManifestCheckTest, RefusesDigestsThatAreNoHex) {
  ExpectRefused(
      Deployed(), [](auto& m) { m.set_file_sha256("abc"); },
      "file_sha256: expected 64 hex digits");
  ExpectRefused(
      Parity(),
      [](auto& m) { m.mutable_lineage()->set_deployed_sha256("abc"); },
      "lineage.deployed_sha256: expected 64 hex digits");
}

TEST(ManifestCheckTest, RefusesTensorsThatMakeNoSense) {
  ExpectRefused(
      Deployed(), [](auto& m) { m.clear_inputs(); },
      "inputs: expected 1 to 64 tensors, got 0");
  ExpectRefused(
      Deployed(),
      [](auto& m) {
        for (int i = 0; i < 64; ++i) m.add_outputs();
      },
      "outputs: expected 1 to 64 tensors, got 65");
  ExpectRefused(
      Deployed(),
      [](auto& m) { *m.add_inputs() = bundle::Tensor(m.inputs(0)); },
      "inputs[1].name: expected distinct names");
  ExpectRefused(
      Deployed(), [](auto& m) { m.mutable_outputs(0)->set_datatype("FP33"); },
      "outputs[0].datatype: expected a datatype such as FP32");
  ExpectRefused(
      Deployed(),
      [](auto& m) {
        for (int i = 0; i < 13; ++i) m.mutable_inputs(0)->add_shape(1);
      },
      "inputs[0].shape: expected at most 16 dimensions, got 17");
  ExpectRefused(
      Deployed(), [](auto& m) { m.mutable_inputs(0)->set_shape(1, -2); },
      "inputs[0].shape: expected dimensions above 0");
  ExpectRefused(
      Deployed(),
      [](auto& m) { m.mutable_inputs(0)->set_shape(1, int64_t{1} << 60); },
      "inputs[0].shape: a shape is too large");
}

TEST(ManifestCheckTest, RefusesRolesThatContradictTheLineage) {
  ExpectRefused(
      Deployed(), [](auto& m) { m.set_role("primary"); },
      "role: expected one of deployed|parity|backup");
  ExpectRefused(
      Deployed(), [](auto& m) { m.set_role("parity"); },
      "lineage: missing, and role is parity");
  ExpectRefused(
      Parity(), [](auto& m) { m.set_role("backup"); },
      "lineage: given, though role is backup");
}

TEST(ManifestCheckTest, RefusesCodesOutOfRange) {
  const auto code = [](bundle::Manifest& m) {
    return m.mutable_lineage()->mutable_code();
  };
  ExpectRefused(
      Parity(), [&](auto& m) { code(m)->clear_scheme(); },
      "lineage.code.scheme: expected text, got none");
  ExpectRefused(
      Parity(), [&](auto& m) { code(m)->set_k(0); },
      "lineage.code.k: expected 1 to 16, got 0");
  ExpectRefused(
      Parity(), [&](auto& m) { code(m)->set_k(17); },
      "lineage.code.k: expected 1 to 16, got 17");
  ExpectRefused(
      Parity(), [&](auto& m) { code(m)->set_r(0); },
      "lineage.code.r: expected 1 to 4, got 0");
  ExpectRefused(
      Parity(), [&](auto& m) { code(m)->set_r(5); },
      "lineage.code.r: expected 1 to 4, got 5");
  ExpectRefused(
      Parity(), [](auto& m) { m.mutable_lineage()->set_parity_index(1); },
      "lineage.parity_index: expected 0 to 0, got 1");
}

TEST(ManifestCheckTest, RefusesFiguresThatAreNoFigures) {
  const auto measured = [](bundle::Manifest& m) {
    return m.mutable_measured();
  };
  ExpectRefused(
      Parity(), [&](auto& m) { measured(m)->set_truth("guesses"); },
      "measured.truth: expected labels or deployed, got guesses");
  ExpectRefused(
      Parity(), [&](auto& m) { measured(m)->set_a_a(88); },
      "measured.a_a: expected a fraction, 0 to 1, got 88");
  ExpectRefused(
      Parity(),
      [&](auto& m) {
        measured(m)->set_a_a(std::numeric_limits<double>::quiet_NaN());
      },
      "measured.a_a: expected a fraction");
  ExpectRefused(
      Parity(), [&](auto& m) { measured(m)->set_samples(-1); },
      "measured.samples: expected a count, got -1");
  ExpectRefused(
      Parity(), [&](auto& m) { measured(m)->set_relative_cost(-1); },
      "measured.relative_cost: expected 0 or more, got -1");
  ExpectRefused(
      Parity(), [&](auto& m) { measured(m)->mutable_a_d(0)->set_losses(0); },
      "measured.a_d[0].losses: expected distinct counts above 0");
  ExpectRefused(
      Parity(), [&](auto& m) { measured(m)->add_a_d()->set_losses(1); },
      "measured.a_d[1].losses: expected distinct counts above 0");
  ExpectRefused(
      Parity(), [&](auto& m) { measured(m)->mutable_a_d(0)->set_accuracy(2); },
      "measured.a_d[0].accuracy: expected a fraction");
  ExpectRefused(
      Parity(), [&](auto& m) { measured(m)->mutable_a_d(0)->set_samples(-5); },
      "measured.a_d[0].samples: expected a count, got -5");
  ExpectRefused(
      Parity(),
      [&](auto& m) { measured(m)->mutable_a_d(0)->set_standard_error(-1); },
      "measured.a_d[0].standard_error: expected a fraction");
  ExpectRefused(
      Parity(), [&](auto& m) { measured(m)->set_calibration_error(1.5); },
      "measured.calibration_error: expected a fraction");
}

TEST(ManifestCheckTest, RefusesCalibrationThatDoesNotAscend) {
  const auto bin = [](bundle::Manifest& m, double margin, double probability,
                      int64_t samples) {
    bundle::CalibrationBin* added = m.mutable_measured()->add_calibration();
    added->set_margin_at_least(margin);
    added->set_probability_right(probability);
    added->set_samples(samples);
  };
  bundle::Manifest fine = Parity();
  bin(fine, 0, 0.5, 10);
  bin(fine, 1, 0.9, 10);
  EXPECT_THAT(CheckManifest(fine, "b.yaml", {}), IsOk());
  ExpectRefused(
      fine, [&](auto& m) { bin(m, 1, 0.9, 10); },
      "measured.calibration[2].margin_at_least: expected ascending");
  ExpectRefused(
      fine, [&](auto& m) { bin(m, 2, 1.5, 10); },
      "measured.calibration[2].probability_right: expected a "
      "fraction");
  ExpectRefused(
      fine, [&](auto& m) { bin(m, 2, 1, -1); },
      "measured.calibration[2].samples: expected a count");
  ExpectRefused(
      fine,
      [&](auto& m) {
        for (int i = 2; i < 33; ++i) bin(m, i, 1, 1);
      },
      "measured.calibration: expected at most 32 bins, got 33");
}

TEST(ManifestCheckTest, RefusesPatternsThatTheCodeHasNot) {
  bundle::Manifest fine = Parity();
  fine.mutable_lineage()->mutable_code()->set_r(2);
  fine.mutable_lineage()->set_parity_index(1);
  const auto pattern = [](bundle::Manifest& m, uint32_t losses,
                          const std::vector<uint32_t>& parities) {
    bundle::PatternCalibration* added =
        m.mutable_measured()->add_pattern_calibration();
    added->set_losses(losses);
    for (const uint32_t parity : parities) added->add_parities(parity);
    added->add_calibration()->set_probability_right(0.5);
    return added;
  };
  pattern(fine, 1, {1});
  pattern(fine, 2, {0, 1});
  EXPECT_THAT(CheckManifest(fine, "b.yaml", {}), IsOk());
  const std::string at = "measured.pattern_calibration[2]";
  for (const uint32_t losses : {0U, 3U}) {
    ExpectRefused(
        fine, [&](auto& m) { pattern(m, losses, {1}); },
        at + ".losses: expected 1 to 2");
  }
  ExpectRefused(
      fine, [&](auto& m) { pattern(m, 2, {1, 2}); },
      at + ".parities: expected ascending numbers below r = 2, got 2");
  ExpectRefused(
      fine, [&](auto& m) { pattern(m, 2, {1, 0}); },
      at + ".parities: expected ascending numbers below r = 2, got 0");
  for (const auto& others : std::vector<std::vector<uint32_t>>{{}, {0}}) {
    ExpectRefused(
        fine, [&](auto& m) { pattern(m, 1, others); },
        at + ".parities: expected the bundle's own parity 1 among them");
  }
  ExpectRefused(
      fine, [&](auto& m) { pattern(m, 1, {1}); },
      at + ": expected distinct patterns");
  ExpectRefused(
      fine, [&](auto& m) { pattern(m, 2, {1})->set_calibration_error(-0.5); },
      at + ".calibration_error: expected a fraction");
  ExpectRefused(
      fine, [&](auto& m) { pattern(m, 2, {1})->add_calibration(); },
      at + ".calibration[1].margin_at_least: expected ascending");
  ExpectRefused(
      fine,
      [&](auto& m) {
        for (int i = 2; i < 20; ++i) pattern(m, 2, {1});
      },
      "measured.pattern_calibration: expected at most 19 patterns, got 20");
  ExpectRefused(
      Deployed(), [&](auto& m) { pattern(m, 1, {0}); },
      "measured.pattern_calibration[0].losses: expected 1 to 0");
}

}  // namespace
}  // namespace parm
