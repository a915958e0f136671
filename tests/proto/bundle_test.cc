#include "proto/bundle.h"

#include <filesystem>
#include <limits>
#include <string>

#include "absl/strings/str_replace.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "proto/strict_yaml.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/test_manifest.h"

namespace parm {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kModel[] = "TorchScript, as it were";

absl::StatusOr<Bundle> WriteDeployed(const std::string& directory) {
  return WriteBundle(directory, DeployedManifest(), {{"model.pt", kModel}});
}

TEST(BundleTest, ReadsBackWhatItWrote) {
  const ScratchDirectory scratch;
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle written, WriteDeployed(scratch / "b"));
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle loaded, LoadBundle(scratch / "b"));
  EXPECT_TRUE(MessageDifferencer::Equals(loaded.manifest, written.manifest));
  EXPECT_EQ(loaded.id, written.id);
  EXPECT_EQ(loaded.directory, scratch / "b");
  EXPECT_EQ(loaded.model_path, scratch / "b/model.pt");
  EXPECT_EQ(ReadFile(loaded.model_path), kModel);
  EXPECT_EQ(loaded.manifest.format(), 1U);
  EXPECT_EQ(loaded.manifest.file_sha256(), ToHex(Sha256Of(kModel)));
}

TEST(BundleTest, BundlesThatBelongTogetherAppearTogether) {
  const ScratchDirectory scratch;
  const BundleContents one = {.manifest = DeployedManifest(),
                              .files = {{"model.pt", kModel}}};
  BundleContents two = one;
  two.manifest.set_version("2");
  ASSERT_THAT(WriteBundles(scratch / "b", {one, two}), IsOk());
  for (const char* const folder : {"b/0", "b/1"}) {
    PARM_ASSERT_OK_AND_ASSIGN(const Bundle loaded,
                              LoadBundle(scratch / folder));
    EXPECT_EQ(loaded.manifest.version(),
              folder == std::string("b/1") ? "2" : one.manifest.version());
    EXPECT_EQ(loaded.manifest.file_sha256(), ToHex(Sha256Of(kModel)));
  }
  // One that cannot be written keeps all of them from it.
  two.files.clear();
  EXPECT_THAT(WriteBundles(scratch / "c", {one, two}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(std::filesystem::exists(scratch / "c"));
  // A lone bundle is not taken for several.
  ASSERT_THAT(WriteDeployed(scratch / "alone"), IsOk());
  two.files = one.files;
  EXPECT_THAT(WriteBundles(scratch / "alone", {one, two}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("refused to replace")));
}

TEST(BundleTest, OnlyBundlesOfTheSameFormAreReplaced) {
  const ScratchDirectory scratch;
  const BundleContents one = {.manifest = DeployedManifest(),
                              .files = {{"model.pt", kModel}}};
  EXPECT_THAT(CheckReplaceable(scratch / "absent", 1), IsOk());
  EXPECT_THAT(CheckReplaceable(scratch / "absent", 2), IsOk());
  std::filesystem::create_directory(scratch / "empty");
  EXPECT_THAT(CheckReplaceable(scratch / "empty", 1), IsOk());
  EXPECT_THAT(CheckReplaceable(scratch / "empty", 2), IsOk());
  ASSERT_THAT(WriteBundles(scratch / "one", {one}), IsOk());
  EXPECT_THAT(LoadBundle(scratch / "one"), IsOk());
  EXPECT_THAT(CheckReplaceable(scratch / "one", 1), IsOk());
  EXPECT_THAT(CheckReplaceable(scratch / "one", 2),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(WriteBundles(scratch / "two", {one, one}), IsOk());
  EXPECT_THAT(CheckReplaceable(scratch / "two", 3), IsOk());
  EXPECT_THAT(CheckReplaceable(scratch / "two", 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
  // What else lies there would go with them.
  ASSERT_THAT(WriteDeployed(scratch / "two/deployed"), IsOk());
  EXPECT_THAT(WriteBundles(scratch / "two", {one, one}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("without other things")));
  EXPECT_THAT(LoadBundle(scratch / "two/deployed"), IsOk());
}

TEST(BundleTest, IdIsTheSameOnEveryMachine) {
  const ScratchDirectory scratch;
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle bundle, WriteDeployed(scratch / "b"));
  // A worker and a trainer of different builds must agree: when this changes,
  // every bundle gets another name.
  EXPECT_EQ(ToHex(bundle.id),
            "205c26cbe923eb90bbe6feeef2cd78da2479c6d076306cece0a4b6edc761ae0c");
}

TEST(BundleTest, IdIgnoresFiguresAndFollowsIdentity) {
  const ScratchDirectory scratch;
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle first, WriteDeployed(scratch / "b"));

  bundle::Manifest manifest = DeployedManifest();
  manifest.mutable_measured()->set_a_a(0.5);
  manifest.mutable_training()->set_seed(7);
  PARM_ASSERT_OK_AND_ASSIGN(
      const Bundle measured,
      WriteBundle(scratch / "b", manifest, {{"model.pt", kModel}}));
  EXPECT_EQ(measured.id, first.id);

  manifest.set_version("2");
  PARM_ASSERT_OK_AND_ASSIGN(
      const Bundle renamed,
      WriteBundle(scratch / "b", manifest, {{"model.pt", kModel}}));
  EXPECT_NE(renamed.id, first.id);

  PARM_ASSERT_OK_AND_ASSIGN(
      const Bundle retrained,
      WriteBundle(scratch / "b", DeployedManifest(), {{"model.pt", "other"}}));
  EXPECT_NE(retrained.id, first.id);
}

TEST(BundleTest, MissingPartsAreNotFound) {
  const ScratchDirectory scratch;
  EXPECT_THAT(LoadBundle(scratch / "absent"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent")));
  EXPECT_THAT(LoadBundle(scratch.path()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("bundle.yaml")));
  ASSERT_THAT(WriteDeployed(scratch / "b"), IsOk());
  std::filesystem::remove(scratch / "b/model.pt");
  EXPECT_THAT(LoadBundle(scratch / "b"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("model.pt")));
}

TEST(BundleTest, TruncatedOrSwappedModelFileIsDataLoss) {
  const ScratchDirectory scratch;
  ASSERT_THAT(WriteDeployed(scratch / "b"), IsOk());
  const std::string whole = kModel;
  for (const std::string& contents :
       {whole.substr(0, whole.size() - 1), std::string(), whole + "x",
        std::string(whole.size(), 'x')}) {
    SCOPED_TRACE(contents);
    WriteFile(scratch / "b/model.pt", contents);
    EXPECT_THAT(LoadBundle(scratch / "b"),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("model.pt")));
  }
}

TEST(BundleTest, ManifestOutsideTheSchemaNamesItsLine) {
  const ScratchDirectory scratch;
  ASSERT_THAT(WriteDeployed(scratch / "b"), IsOk());
  const std::string path = scratch / "b/bundle.yaml";
  const std::string yaml = ReadFile(path);
  WriteFile(path, absl::StrReplaceAll(yaml, {{"variant:", "variants:"}}));
  EXPECT_THAT(LoadBundle(scratch / "b"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       path + ":3: unknown key \"variants\": did you mean "
                              "\"variant\"?"));
  WriteFile(path, absl::StrReplaceAll(yaml, {{"deployed", "primary"}}));
  EXPECT_THAT(LoadBundle(scratch / "b"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       StartsWith(path + ":5: role: expected one of ")));
}

TEST(BundleTest, ParityBundleCarriesItsLineage) {
  const ScratchDirectory scratch;
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle deployed,
                            WriteDeployed(scratch / "d"));
  PARM_ASSERT_OK_AND_ASSIGN(
      const Bundle parity,
      WriteBundle(scratch / "p", ParityManifest(ToHex(deployed.id)),
                  {{"model.pt", "parity"}}));
  PARM_ASSERT_OK_AND_ASSIGN(
      const Bundle other,
      WriteBundle(scratch / "q", ParityManifest(ToHex(parity.id)),
                  {{"model.pt", "parity"}}));
  EXPECT_NE(parity.id, other.id);
  const wire::BundleInfo info = ToBundleInfo(parity);
  EXPECT_EQ(info.role(), wire::PARITY);
  EXPECT_EQ(info.lineage().deployed_sha256(), ToBytes(deployed.id));
  EXPECT_EQ(info.lineage().code().scheme(), "sum");
  EXPECT_EQ(info.lineage().code().k(), 2U);
  EXPECT_EQ(info.lineage().code().r(), 1U);
}

TEST(BundleTest, LineageThatIsNoDigestIsRefused) {
  const ScratchDirectory scratch;
  EXPECT_THAT(WriteBundle(scratch / "p", ParityManifest("latest"),
                          {{"model.pt", kModel}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("lineage.deployed_sha256")));
  EXPECT_FALSE(std::filesystem::exists(scratch / "p"));
}

TEST(BundleTest, HelloSaysWhatTheManifestSays) {
  const ScratchDirectory scratch;
  bundle::Manifest manifest = DeployedManifest();
  manifest.mutable_measured()->set_relative_cost(1.5);
  manifest.mutable_measured()->set_a_a(0.75);
  for (const uint32_t losses : {2U, 1U, 4U}) {  // in any order; 3 is missing
    bundle::DegradedAccuracy* row = manifest.mutable_measured()->add_a_d();
    row->set_losses(losses);
    row->set_accuracy(0.5 / losses);
  }
  bundle::CalibrationBin* bin = manifest.mutable_measured()->add_calibration();
  bin->set_margin_at_least(1.25);
  bin->set_probability_right(0.5);
  PARM_ASSERT_OK_AND_ASSIGN(
      const Bundle bundle,
      WriteBundle(scratch / "b", manifest, {{"model.pt", kModel}}));
  const wire::BundleInfo info = ToBundleInfo(bundle);
  EXPECT_EQ(info.sha256(), ToBytes(bundle.id));
  EXPECT_EQ(info.model(), "fashion");
  EXPECT_EQ(info.variant(), "mlp");
  EXPECT_EQ(info.version(), "1");
  EXPECT_EQ(info.role(), wire::DEPLOYED);
  EXPECT_FALSE(info.has_lineage());
  EXPECT_DOUBLE_EQ(info.relative_cost(), 1.5);
  EXPECT_EQ(info.deployed_accuracy(), 0.75);
  ASSERT_EQ(info.degraded_accuracy_size(), 2);
  EXPECT_EQ(info.degraded_accuracy(0), 0.5);
  EXPECT_EQ(info.degraded_accuracy(1), 0.25);
  ASSERT_EQ(info.calibration_size(), 1);
  EXPECT_EQ(info.calibration(0).margin_at_least(), 1.25);
  EXPECT_EQ(info.calibration(0).probability_right(), 0.5);
  ASSERT_EQ(info.inputs_size(), 1);
  EXPECT_EQ(info.inputs(0).datatype(), wire::FP32);
  EXPECT_EQ(info.inputs(0).shape(0), -1);
  const TensorSpec want_output = {
      .name = "logits", .datatype = DataType::kFp32, .shape = {-1, 10}};
  ASSERT_EQ(OutputSpecs(bundle.manifest).size(), 1U);
  EXPECT_EQ(OutputSpecs(bundle.manifest)[0], want_output);
  EXPECT_EQ(InputSpecs(bundle.manifest)[0].name, "image");
}

TEST(BundleTest, HelloHasTheTablesOfEveryPattern) {
  const ScratchDirectory scratch;
  bundle::Manifest manifest = ParityManifest(std::string(64, 'a'));
  manifest.mutable_lineage()->mutable_code()->set_r(3);
  manifest.mutable_lineage()->set_parity_index(2);
  bundle::PatternCalibration* pattern =
      manifest.mutable_measured()->add_pattern_calibration();
  pattern->set_losses(2);
  pattern->add_parities(0);
  pattern->add_parities(2);
  pattern->set_calibration_error(0.01);
  for (const double margin : {0.0, 1.25}) {
    bundle::CalibrationBin* bin = pattern->add_calibration();
    bin->set_margin_at_least(margin);
    bin->set_probability_right(0.5 + margin / 4);
  }
  ASSERT_THAT(WriteBundle(scratch / "b", manifest, {{"model.pt", kModel}}),
              IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle bundle, LoadBundle(scratch / "b"));
  EXPECT_EQ(
      bundle.manifest.measured().pattern_calibration(0).calibration_error(),
      0.01);
  const wire::BundleInfo info = ToBundleInfo(bundle);
  EXPECT_EQ(info.calibration_size(), 0);
  ASSERT_EQ(info.pattern_calibration_size(), 1);
  const wire::PatternCalibration& told = info.pattern_calibration(0);
  EXPECT_EQ(told.losses(), 2U);
  EXPECT_EQ(told.parities(), 0b101U);
  ASSERT_EQ(told.calibration_size(), 2);
  EXPECT_EQ(told.calibration(0).probability_right(), 0.5);
  EXPECT_EQ(told.calibration(1).margin_at_least(), 1.25);
  EXPECT_EQ(told.calibration(1).probability_right(), 0.8125);
}

TEST(BundleTest, WriteRefusesFilesThatDoNotMatch) {
  const ScratchDirectory scratch;
  const auto refused = [&](bundle::Manifest manifest,
                           const std::vector<BundleFile>& files,
                           const std::string& message) {
    EXPECT_THAT(
        WriteBundle(scratch / "b", std::move(manifest), files),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
    EXPECT_FALSE(std::filesystem::exists(scratch / "b"));
  };
  refused(DeployedManifest(), {}, "want \"model.pt\"");
  refused(DeployedManifest(), {{"model.pt", ""}, {"model.pt", ""}},
          "distinct plain names");
  refused(DeployedManifest(), {{"model.pt", ""}, {"../x", ""}},
          "distinct plain names");
  refused(DeployedManifest(), {{"model.pt", ""}, {"bundle.yaml", ""}},
          "distinct plain names");
  bundle::Manifest probed = DeployedManifest();
  probed.mutable_probes()->set_inputs_npy("in.npy");
  probed.mutable_probes()->set_outputs_npy("out.npy");
  refused(probed, {{"model.pt", ""}, {"in.npy", ""}}, "probes");
}

TEST(BundleTest, WriteRefusesWhatYamlCannotHold) {
  const ScratchDirectory scratch;
  bundle::Manifest manifest = DeployedManifest();
  manifest.mutable_measured()->set_a_a(
      std::numeric_limits<double>::quiet_NaN());
  EXPECT_THAT(WriteBundle(scratch / "b", manifest, {{"model.pt", ""}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("measured.a_a: expected a number")));
  manifest = DeployedManifest();
  manifest.set_preprocessing("\xff");
  EXPECT_THAT(WriteBundle(scratch / "b", manifest, {{"model.pt", ""}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("preprocessing: expected text in UTF-8")));
  EXPECT_FALSE(std::filesystem::exists(scratch / "b"));
}

TEST(BundleTest, FailedWriteLeavesTheOldBundleLoadable) {
  const ScratchDirectory scratch;
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle before, WriteDeployed(scratch / "b"));
  EXPECT_THAT(
      WriteBundle(scratch / "b/model.pt/c", DeployedManifest(),
                  {{"model.pt", kModel}}),
      StatusIs(absl::StatusCode::kUnavailable, HasSubstr("Not a directory")));
  EXPECT_THAT(
      WriteBundle(scratch.path(), DeployedManifest(), {{"model.pt", kModel}}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("replace")));
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle after, LoadBundle(scratch / "b"));
  EXPECT_EQ(after.id, before.id);
}

}  // namespace
}  // namespace parm
