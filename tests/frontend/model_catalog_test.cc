#include "frontend/model_catalog.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/tensors.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr ModelId kModel{0};
constexpr WorkerId kFirst{0};
constexpr WorkerId kSecond{1};
constexpr WorkerId kThird{2};

wire::TensorSpec Spec(const std::string& name,
                      const std::vector<int64_t>& shape) {
  wire::TensorSpec spec;
  spec.set_name(name);
  spec.set_datatype(wire::FP32);
  spec.mutable_shape()->Add(shape.begin(), shape.end());
  return spec;
}

wire::BundleInfo Deployed(char id, const std::string& model = "m") {
  wire::BundleInfo info;
  info.set_sha256(std::string(32, id));
  info.set_model(model);
  info.set_version(std::string(1, id));
  info.set_role(wire::DEPLOYED);
  *info.add_inputs() = Spec("x", {-1, 3});
  *info.add_outputs() = Spec("y", {-1, 2});
  return info;
}

wire::BundleInfo ParityOf(char deployed, char id = 'p') {
  wire::BundleInfo info = Deployed(id);
  info.set_role(wire::PARITY);
  info.mutable_lineage()->set_deployed_sha256(std::string(32, deployed));
  info.mutable_lineage()->mutable_code()->set_scheme("sum");
  info.mutable_lineage()->mutable_code()->set_k(2);
  info.mutable_lineage()->mutable_code()->set_r(1);
  return info;
}

wire::BundleInfo Backup(char id = 'b') {
  wire::BundleInfo info = Deployed(id);
  info.set_role(wire::BACKUP);
  return info;
}

wire::Hello HelloWith(const std::vector<wire::BundleInfo>& bundles) {
  wire::Hello hello;
  hello.set_worker_id("w");
  hello.set_instance_nonce(7);
  hello.set_lanes(2);
  hello.set_fault_domain("rack");
  for (const auto& bundle : bundles) *hello.add_bundles() = bundle;
  return hello;
}

std::shared_ptr<const Code> MakeCode(const CodeSpec& spec) {
  return CreateCode(spec).value();
}

class ModelCatalogTest : public ::testing::Test {
 protected:
  static CatalogOptions Options() {
    CatalogOptions options;
    options.models = {
        {.name = "m", .codes = {MakeCode({.scheme = "sum", .k = 2})}},
        {.name = "plain"}};
    options.fault_domains = {"", "", "shelf"};
    options.max_in_flight = {16, 4, 4};
    return options;
  }
  // What the workers say, and what it leads to.
  size_t NumUsed(WorkerId worker,
                 const std::vector<wire::BundleInfo>& bundles) {
    return catalog_.OnHello(worker, HelloWith(bundles)).bundles.size();
  }

  ModelCatalog catalog_{Options()};
};

TEST_F(ModelCatalogTest, TellsTheCoreWhatAWorkerServes) {
  const core::WorkerUp up =
      catalog_.OnHello(kSecond, HelloWith({Deployed('d'), ParityOf('d')}));
  EXPECT_EQ(up.worker, kSecond);
  EXPECT_EQ(up.nonce, 7U);
  EXPECT_EQ(up.lanes, 2U);
  EXPECT_EQ(up.max_in_flight, 4U);
  ASSERT_THAT(up.bundles, SizeIs(2));
  EXPECT_EQ(up.bundles[0].role, core::BundleRole::kDeployed);
  EXPECT_EQ(up.bundles[0].deployed, up.bundles[0].bundle);
  EXPECT_EQ(up.bundles[1].role, core::BundleRole::kParity);
  EXPECT_EQ(up.bundles[1].deployed, up.bundles[0].bundle);
  EXPECT_EQ(up.bundles[1].parity_index, 0);
}

TEST_F(ModelCatalogTest, PairsAParityBundleThatCameFirst) {
  const core::WorkerUp parity =
      catalog_.OnHello(kFirst, HelloWith({ParityOf('d')}));
  ASSERT_THAT(parity.bundles, SizeIs(1));
  const BundleKey partner = parity.bundles[0].deployed;
  EXPECT_EQ(catalog_.Current(kModel), nullptr);
  const core::WorkerUp deployed =
      catalog_.OnHello(kSecond, HelloWith({Deployed('d')}));
  EXPECT_EQ(deployed.bundles[0].bundle, partner);
  EXPECT_EQ(catalog_.counters().refused_lineage, 0U);
}

TEST_F(ModelCatalogTest, OneBundleMayBeTwoModels) {
  // "plain" is not coded, and knows the bundle first.
  wire::BundleInfo coded = Deployed('d');
  *coded.add_inputs() = Spec("z", {-1, 3});
  wire::BundleInfo plain = coded;
  plain.set_model("plain");
  const core::WorkerUp up = catalog_.OnHello(kFirst, HelloWith({plain, coded}));
  ASSERT_THAT(up.bundles, SizeIs(2));
  EXPECT_NE(up.bundles[0].bundle, up.bundles[1].bundle);
  const std::vector<oip::Tensor> inputs = {Fp32Tensor("x", {1, 3}, {1, 2, 3}),
                                           Fp32Tensor("z", {1, 3}, {1, 2, 3})};
  EXPECT_EQ(
      catalog_.LayoutOf(catalog_.Get(up.bundles[0].bundle), inputs).uncoded,
      UncodedReason::kNone);
  EXPECT_EQ(
      catalog_.LayoutOf(catalog_.Get(up.bundles[1].bundle), inputs).uncoded,
      UncodedReason::kSeveralTensors);
}

TEST_F(ModelCatalogTest, ABundleHasOneRole) {
  EXPECT_EQ(NumUsed(kFirst, {Deployed('d'), Deployed('e')}), 2U);
  // As a parity model, and of a model that is not coded where it was first.
  wire::BundleInfo elsewhere = Deployed('p', "plain");
  EXPECT_EQ(NumUsed(kSecond, {ParityOf('d', 'e'), elsewhere}), 1U);
  EXPECT_EQ(catalog_.counters().refused_shape, 1U);
  EXPECT_EQ(NumUsed(kThird, {ParityOf('d')}), 1U);
}

ModelCatalog PackingCatalog() {
  CatalogOptions options;
  options.models = {{.name = "m", .codes = {MakeCode({"pack", 2, 1})}}};
  options.fault_domains = {"", ""};
  options.max_in_flight = {4, 4};
  return ModelCatalog(std::move(options));
}

TEST_F(ModelCatalogTest, BackupHelpsWhateverVersionIsServed) {
  ModelCatalog catalog = PackingCatalog();
  const core::WorkerUp up = catalog.OnHello(
      kFirst, HelloWith({Deployed('d'), Deployed('e'), Backup()}));
  ASSERT_THAT(up.bundles, SizeIs(3));
  EXPECT_EQ(up.bundles[2].role, core::BundleRole::kBackup);
  EXPECT_EQ(up.bundles[2].model, kModel);
  EXPECT_EQ(catalog.Current(kModel)->version, "d") << "never a backup";
  EXPECT_EQ(catalog.counters().refused_lineage, 0U);
}

TEST_F(ModelCatalogTest, BackupAnswersOnlyWhatIsPacked) {
  EXPECT_EQ(NumUsed(kFirst, {Deployed('d'), Backup()}), 1U) << "code sum";
  EXPECT_EQ(catalog_.counters().refused_code, 1U);
  wire::BundleInfo uncoded = Backup('c');
  uncoded.set_model("plain");
  EXPECT_EQ(NumUsed(kFirst, {uncoded}), 0U);
  EXPECT_EQ(catalog_.counters().refused_code, 1U) << "nobody asks for it";
}

TEST_F(ModelCatalogTest, BackupOfAnotherShapeIsRefused) {
  wire::BundleInfo misfit = Backup();
  *misfit.mutable_outputs(0) = Spec("y", {-1, 5});
  for (const bool backup_first : {false, true}) {
    SCOPED_TRACE(backup_first);
    ModelCatalog catalog = PackingCatalog();
    catalog.OnHello(kFirst, HelloWith({backup_first ? misfit : Deployed('d')}));
    catalog.OnHello(kSecond,
                    HelloWith({backup_first ? Deployed('d') : misfit}));
    EXPECT_EQ(catalog.counters().refused_shape, 1U);
    EXPECT_THAT(catalog.TakeRevised(), SizeIs(backup_first ? 1 : 0));
  }
}

TEST_F(ModelCatalogTest, InternsFaultDomainsAndPrefersConfiguredOnes) {
  const uint32_t rack = catalog_.OnHello(kFirst, HelloWith({})).fault_domain;
  EXPECT_EQ(catalog_.OnHello(kSecond, HelloWith({})).fault_domain, rack);
  EXPECT_NE(catalog_.OnHello(kThird, HelloWith({})).fault_domain, rack);
  wire::Hello nameless = HelloWith({});
  nameless.clear_fault_domain();
  const uint32_t own = catalog_.OnHello(kFirst, nameless).fault_domain;
  EXPECT_NE(catalog_.OnHello(kSecond, nameless).fault_domain, own);
}

TEST_F(ModelCatalogTest, PicksTheVersionThatMostWorkersServe) {
  catalog_.OnHello(kFirst, HelloWith({Deployed('a')}));
  catalog_.OnHello(kSecond, HelloWith({Deployed('b')}));
  ASSERT_NE(catalog_.Current(kModel), nullptr);
  EXPECT_EQ(catalog_.Current(kModel)->version, "a");  // a tie: seen first
  catalog_.OnHello(kThird, HelloWith({Deployed('b')}));
  EXPECT_EQ(catalog_.Current(kModel)->version, "b");
  EXPECT_TRUE(catalog_.Serves(kThird, kModel));
  EXPECT_FALSE(catalog_.Serves(kFirst, kModel));
  catalog_.OnLost(kSecond);
  catalog_.OnLost(kThird);
  EXPECT_EQ(catalog_.Current(kModel)->version, "a");
}

TEST_F(ModelCatalogTest, RemembersTheModelWhileAllWorkersAreAway) {
  EXPECT_EQ(catalog_.LastKnown(kModel), nullptr);
  catalog_.OnHello(kFirst, HelloWith({Deployed('a')}));
  catalog_.OnLost(kFirst);
  EXPECT_EQ(catalog_.Current(kModel), nullptr);
  ASSERT_NE(catalog_.LastKnown(kModel), nullptr);
  EXPECT_EQ(catalog_.LastKnown(kModel)->inputs[0].name, "x");
}

TEST_F(ModelCatalogTest, ReplacesWhatAWorkerSaidBefore) {
  catalog_.OnHello(kFirst, HelloWith({Deployed('a')}));
  catalog_.OnHello(kFirst, HelloWith({Deployed('b')}));
  EXPECT_EQ(catalog_.Current(kModel)->version, "b");
}

TEST_F(ModelCatalogTest, CountsAParityBundleOfAnotherLineageOnce) {
  catalog_.OnHello(kFirst, HelloWith({Deployed('d')}));
  const core::WorkerUp up =
      catalog_.OnHello(kSecond, HelloWith({ParityOf('e')}));
  EXPECT_EQ(catalog_.counters().refused_lineage, 1U);
  // The key keeps the core from pairing it with the served one.
  ASSERT_THAT(up.bundles, SizeIs(1));
  EXPECT_NE(up.bundles[0].deployed, catalog_.Current(kModel)->key);
  catalog_.OnHello(kThird, HelloWith({ParityOf('e')}));
  EXPECT_EQ(catalog_.counters().refused_lineage, 1U);
}

TEST_F(ModelCatalogTest, LeavesWorkersThatTakeNothingOutOfTheVote) {
  catalog_.OnHello(kFirst, HelloWith({Deployed('a')}));
  catalog_.OnHello(kSecond, HelloWith({Deployed('a')}));
  catalog_.OnHello(kThird, HelloWith({Deployed('b')}));
  catalog_.SetTakesTasks(kFirst, false);
  EXPECT_EQ(catalog_.Current(kModel)->version, "a");
  catalog_.SetTakesTasks(kSecond, false);
  EXPECT_EQ(catalog_.Current(kModel)->version, "b");
  catalog_.SetTakesTasks(kThird, false);
  EXPECT_EQ(catalog_.Current(kModel)->version, "a");  // nobody: all count
  catalog_.SetTakesTasks(kThird, true);
  EXPECT_EQ(catalog_.Current(kModel)->version, "b");
}

TEST_F(ModelCatalogTest, CountsAParityBundleEachTimeItBecomesIdle) {
  catalog_.OnHello(kFirst, HelloWith({Deployed('a'), ParityOf('a')}));
  catalog_.OnHello(kSecond, HelloWith({Deployed('b')}));
  EXPECT_EQ(catalog_.counters().refused_lineage, 0U);
  // One worker still serves `a`, but no new query goes there.
  catalog_.OnHello(kThird, HelloWith({Deployed('b')}));
  EXPECT_EQ(catalog_.counters().refused_lineage, 1U);
  catalog_.OnLost(kThird);
  EXPECT_EQ(catalog_.counters().refused_lineage, 1U);
  catalog_.OnHello(kThird, HelloWith({Deployed('b')}));
  EXPECT_EQ(catalog_.counters().refused_lineage, 2U);
}

TEST_F(ModelCatalogTest, SeesAParityBundleLoseItsPartner) {
  catalog_.OnHello(kFirst, HelloWith({Deployed('a')}));
  catalog_.OnHello(kSecond, HelloWith({ParityOf('a')}));
  catalog_.OnHello(kThird, HelloWith({Deployed('b')}));
  EXPECT_EQ(catalog_.counters().refused_lineage, 0U);
  catalog_.OnLost(kFirst);
  EXPECT_EQ(catalog_.counters().refused_lineage, 1U);
}

TEST_F(ModelCatalogTest, RefusesAParityBundleOfAnotherShape) {
  wire::BundleInfo other_input = ParityOf('d', 'q');
  other_input.mutable_inputs(0)->set_shape(1, 4);
  wire::BundleInfo other_output = ParityOf('d', 'r');
  other_output.mutable_outputs(0)->set_shape(1, 3);
  wire::BundleInfo two_outputs = ParityOf('d', 's');
  *two_outputs.add_outputs() = Spec("z", {-1, 2});
  EXPECT_EQ(NumUsed(kFirst, {Deployed('d')}), 1U);
  EXPECT_EQ(NumUsed(kSecond, {other_input, other_output, two_outputs}), 0U);
  EXPECT_EQ(catalog_.counters().refused_shape, 3U);
}

TEST_F(ModelCatalogTest, WithdrawsAnUnfitParityBundleThatCameFirst) {
  wire::BundleInfo unfit = ParityOf('d', 'q');
  unfit.mutable_outputs(0)->set_shape(1, 3);
  EXPECT_EQ(NumUsed(kFirst, {unfit, Deployed('a')}), 2U);
  EXPECT_EQ(NumUsed(kThird, {ParityOf('d')}), 1U);
  EXPECT_THAT(catalog_.TakeRevised(), IsEmpty());
  EXPECT_EQ(NumUsed(kSecond, {Deployed('d')}), 1U);
  const std::vector<core::WorkerUp> revised = catalog_.TakeRevised();
  ASSERT_THAT(revised, SizeIs(1));
  EXPECT_EQ(revised[0].worker, kFirst);
  EXPECT_EQ(revised[0].nonce, 7U);
  EXPECT_THAT(revised[0].bundles, SizeIs(1));
  EXPECT_EQ(catalog_.counters().refused_shape, 1U);
  EXPECT_THAT(catalog_.TakeRevised(), IsEmpty());
}

TEST_F(ModelCatalogTest, RefusesAParityBundleOfAnotherCode) {
  wire::BundleInfo other_k = ParityOf('d', 'q');
  other_k.mutable_lineage()->mutable_code()->set_k(3);
  wire::BundleInfo other_scheme = ParityOf('d', 'r');
  other_scheme.mutable_lineage()->mutable_code()->set_scheme("pack");
  wire::BundleInfo other_index = ParityOf('d', 's');
  other_index.mutable_lineage()->set_parity_index(1);
  EXPECT_EQ(NumUsed(kFirst, {other_k, other_scheme, other_index}), 0U);
  EXPECT_EQ(catalog_.counters().refused_code, 3U);
  EXPECT_EQ(NumUsed(kSecond, {other_k}), 0U);
  EXPECT_EQ(catalog_.counters().refused_code, 3U);  // said once
}

TEST_F(ModelCatalogTest, TakesParityBundlesOfEveryUnit) {
  CatalogOptions options = Options();
  options.models[0].codes.push_back(MakeCode({.scheme = "pack", .k = 3}));
  ModelCatalog catalog(options);
  wire::BundleInfo packed = ParityOf('d', 'q');
  packed.mutable_lineage()->mutable_code()->set_scheme("pack");
  wire::BundleInfo stranger = packed;
  stranger.set_sha256(std::string(32, 'r'));
  packed.mutable_lineage()->mutable_code()->set_k(3);
  const core::WorkerUp up = catalog.OnHello(
      kFirst,
      HelloWith({Deployed('d'), ParityOf('d'), packed, stranger, Backup()}));
  ASSERT_THAT(up.bundles, SizeIs(4)) << "pack of 2 is no unit";
  EXPECT_EQ(up.bundles[1].unit, 0);
  EXPECT_EQ(up.bundles[2].unit, 1);
  EXPECT_EQ(up.bundles[3].role, core::BundleRole::kBackup);
  EXPECT_EQ(catalog.counters().refused_code, 1U);
}

TEST_F(ModelCatalogTest, LayoutsOfUnitsAreKeptApart) {
  CatalogOptions options = Options();
  options.models[0].codes.push_back(MakeCode({.scheme = "concat", .k = 2}));
  ModelCatalog catalog(options);
  catalog.OnHello(kFirst, HelloWith({Deployed('d')}));
  const std::vector<oip::Tensor> input = {Fp32Tensor("x", {1, 3}, {1, 2, 3})};
  const CatalogBundle& bundle = *catalog.Current(kModel);
  const Layout sum = catalog.LayoutOf(bundle, input, 0);
  const Layout concat = catalog.LayoutOf(bundle, input, 1);
  EXPECT_EQ(sum.uncoded, UncodedReason::kNone);
  EXPECT_EQ(concat.uncoded, UncodedReason::kNotSupported) << "no image";
  EXPECT_NE(sum.signature, concat.signature);
}

TEST_F(ModelCatalogTest, KeepsWhatWasMeasuredOfABundle) {
  wire::BundleInfo parity = ParityOf('d');
  parity.set_relative_cost(1.5);
  const core::WorkerUp up = catalog_.OnHello(kFirst, HelloWith({parity}));
  ASSERT_THAT(up.bundles, SizeIs(1));
  const BundleFigures& figures = catalog_.Get(up.bundles[0].bundle).figures;
  EXPECT_EQ(figures.cost, 1.5);
  EXPECT_EQ(figures.accuracy_drop, std::nullopt);
  parity.set_deployed_accuracy(0.75);
  parity.add_degraded_accuracy(0.5);
  catalog_.OnHello(kSecond, HelloWith({parity}));
  EXPECT_EQ(figures.accuracy_drop, 0.25);
  // An older worker of the same bundle, which tells nothing.
  catalog_.OnHello(kThird, HelloWith({ParityOf('d')}));
  EXPECT_EQ(figures.cost, 1.5);
  EXPECT_EQ(figures.accuracy_drop, 0.25);
}

TEST_F(ModelCatalogTest, RefusesAMissingCalibrationTable) {
  CatalogOptions options = Options();
  options.models[0].needs_calibration = true;
  ModelCatalog catalog(options);
  EXPECT_THAT(catalog.OnHello(kFirst, HelloWith({ParityOf('d')})).bundles,
              IsEmpty());
  EXPECT_EQ(catalog.counters().refused_calibration, 1U);
  wire::BundleInfo calibrated = ParityOf('d', 'q');
  calibrated.add_calibration()->set_probability_right(0.9);
  EXPECT_THAT(catalog.OnHello(kFirst, HelloWith({calibrated})).bundles,
              SizeIs(1));
}

TEST_F(ModelCatalogTest, KeepsTheCalibrationTableThatCameLast) {
  wire::BundleInfo parity = ParityOf('d');
  parity.add_calibration()->set_probability_right(0.5);
  const core::WorkerUp up = catalog_.OnHello(kFirst, HelloWith({parity}));
  ASSERT_THAT(up.bundles, SizeIs(1));
  const CatalogBundle& bundle = catalog_.Get(up.bundles[0].bundle);
  EXPECT_THAT(bundle.confidence.usual,
              ElementsAre(ConfidenceStep{.probability_right = 0.5}));
  wire::CalibrationBin* bin = parity.mutable_calibration(0);
  bin->set_probability_right(0.25);
  bin = parity.add_calibration();
  bin->set_margin_at_least(2);
  bin->set_probability_right(0.75);
  catalog_.OnHello(kSecond, HelloWith({parity}));
  const std::vector<ConfidenceStep> later = {
      {.probability_right = 0.25},
      {.margin_at_least = 2, .probability_right = 0.75}};
  EXPECT_EQ(bundle.confidence.usual, later);
  // A worker of the same bundle without a table takes nothing away.
  catalog_.OnHello(kThird, HelloWith({ParityOf('d')}));
  EXPECT_EQ(bundle.confidence.usual, later);
}

TEST_F(ModelCatalogTest, RefusesBundlesWithoutUsableTensors) {
  wire::BundleInfo no_inputs = Deployed('a');
  no_inputs.clear_inputs();
  wire::BundleInfo scalar = Deployed('b');
  scalar.mutable_outputs(0)->clear_shape();
  wire::BundleInfo nameless = Deployed('c');
  nameless.mutable_inputs(0)->clear_name();
  EXPECT_EQ(NumUsed(kFirst, {no_inputs, scalar, nameless}), 0U);
  EXPECT_EQ(catalog_.counters().refused_shape, 3U);
  EXPECT_EQ(catalog_.Current(kModel), nullptr);
}

TEST_F(ModelCatalogTest, LeavesOutWhatNobodyHereUses) {
  wire::BundleInfo backup = Deployed('b');
  backup.set_role(wire::BACKUP);
  wire::BundleInfo uncoded_parity = ParityOf('d', 'u');
  uncoded_parity.set_model("plain");
  EXPECT_EQ(
      NumUsed(kFirst, {Deployed('x', "stranger"), backup, uncoded_parity}), 0U);
}

TEST_F(ModelCatalogTest, RemembersABoundedNumberOfBundles) {
  for (size_t i = 0; i < ModelCatalog::kMaxBundles + 2; ++i) {
    wire::BundleInfo info = Deployed('a');
    std::string sha256(32, '\0');
    std::memcpy(sha256.data(), &i, sizeof(i));
    info.set_sha256(sha256);
    catalog_.OnHello(kFirst, HelloWith({info}));
  }
  EXPECT_EQ(catalog_.counters().refused_limit, 2U);
  EXPECT_EQ(catalog_.Current(kModel), nullptr);
}

class SignatureTest : public ModelCatalogTest {
 protected:
  uint32_t SignatureOf(const CatalogBundle& bundle,
                       const std::vector<oip::Tensor>& inputs) {
    return catalog_.LayoutOf(bundle, inputs).signature;
  }
  const CatalogBundle& Serve(const wire::BundleInfo& info) {
    catalog_.OnHello(kFirst, HelloWith({info}));
    return *catalog_.Current(*catalog_.FindModel(info.model()));
  }
};

TEST_F(SignatureTest, IsOneForEveryBatchOfALayout) {
  const CatalogBundle& bundle = Serve(Deployed('d'));
  const uint32_t one =
      SignatureOf(bundle, {Fp32Tensor("x", {1, 3}, {1, 2, 3})});
  EXPECT_NE(one, 0U);
  EXPECT_EQ(SignatureOf(bundle, {Fp32Tensor("x", {2, 3}, {1, 2, 3, 4, 5, 6})}),
            one);
}

TEST_F(SignatureTest, DiffersWhereShapesDiffer) {
  wire::BundleInfo variable = Deployed('d');
  variable.mutable_inputs(0)->set_shape(1, -1);
  const CatalogBundle& bundle = Serve(variable);
  const uint32_t three =
      SignatureOf(bundle, {Fp32Tensor("x", {1, 3}, {1, 2, 3})});
  const uint32_t two = SignatureOf(bundle, {Fp32Tensor("x", {1, 2}, {1, 2})});
  EXPECT_NE(two, 0U);
  EXPECT_NE(two, three);
}

TEST_F(SignatureTest, IsNotCodableForSeveralInputsOrOutputs) {
  wire::BundleInfo two_inputs = Deployed('d');
  *two_inputs.add_inputs() = Spec("z", {-1, 1});
  const std::vector<oip::Tensor> inputs = {Fp32Tensor("x", {1, 3}, {1, 2, 3}),
                                           Fp32Tensor("z", {1, 1}, {1})};
  const uint32_t two = SignatureOf(Serve(two_inputs), inputs);
  EXPECT_NE(two, 0U);  // they may still share a batch
  EXPECT_FALSE(core::IsCodable(two));

  wire::BundleInfo two_outputs = Deployed('e');
  *two_outputs.add_outputs() = Spec("z", {-1, 1});
  const uint32_t one =
      SignatureOf(Serve(two_outputs), {Fp32Tensor("x", {1, 3}, {1, 2, 3})});
  EXPECT_NE(one, 0U);
  EXPECT_FALSE(core::IsCodable(one));
}

TEST_F(SignatureTest, IsNotCodableWhereOutputsAreVariable) {
  wire::BundleInfo variable = Deployed('d');
  variable.mutable_outputs(0)->set_shape(1, -1);
  EXPECT_FALSE(core::IsCodable(
      SignatureOf(Serve(variable), {Fp32Tensor("x", {1, 3}, {1, 2, 3})})));
}

TEST_F(SignatureTest, IsZeroWithoutABatchDimension) {
  wire::BundleInfo fixed_output = Deployed('d');
  fixed_output.mutable_outputs(0)->set_shape(0, 1);
  EXPECT_EQ(
      SignatureOf(Serve(fixed_output), {Fp32Tensor("x", {1, 3}, {1, 2, 3})}),
      0U);
  wire::BundleInfo fixed_input = Deployed('e', "plain");
  fixed_input.mutable_inputs(0)->set_shape(0, 1);
  EXPECT_EQ(
      SignatureOf(Serve(fixed_input), {Fp32Tensor("x", {1, 3}, {1, 2, 3})}),
      0U);
}

TEST_F(SignatureTest, LetsUncodedModelsBatchAnyLayout) {
  wire::BundleInfo two_inputs = Deployed('d', "plain");
  *two_inputs.add_inputs() = Spec("z", {-1, 1});
  const std::vector<oip::Tensor> inputs = {Fp32Tensor("x", {1, 3}, {1, 2, 3}),
                                           Fp32Tensor("z", {1, 1}, {1})};
  EXPECT_NE(SignatureOf(Serve(two_inputs), inputs), 0U);
}

TEST_F(SignatureTest, TellsWhyALayoutIsNotCoded) {
  const std::vector<oip::Tensor> one = {Fp32Tensor("x", {1, 3}, {1, 2, 3})};
  EXPECT_EQ(catalog_.LayoutOf(Serve(Deployed('a')), one).uncoded,
            UncodedReason::kNone);
  wire::BundleInfo two_outputs = Deployed('b');
  *two_outputs.add_outputs() = Spec("z", {-1, 1});
  EXPECT_EQ(catalog_.LayoutOf(Serve(two_outputs), one).uncoded,
            UncodedReason::kSeveralTensors);
  wire::BundleInfo text = Deployed('c');
  text.mutable_outputs(0)->set_datatype(wire::BYTES);
  EXPECT_EQ(catalog_.LayoutOf(Serve(text), one).uncoded,
            UncodedReason::kNotSupported);
  wire::BundleInfo fixed = Deployed('d');
  fixed.mutable_outputs(0)->set_shape(0, 1);
  EXPECT_EQ(catalog_.LayoutOf(Serve(fixed), one).uncoded,
            UncodedReason::kNoBatchDimension);
  // Nobody asked for a code there.
  wire::BundleInfo plain = Deployed('e', "plain");
  plain.mutable_outputs(0)->set_shape(0, 1);
  EXPECT_EQ(catalog_.LayoutOf(Serve(plain), one).uncoded, UncodedReason::kNone);
}

TEST_F(SignatureTest, ForgetsLayoutsThatWereNotUsedForLong) {
  wire::BundleInfo variable = Deployed('d');
  variable.mutable_inputs(0)->set_shape(1, -1);
  const CatalogBundle& bundle = Serve(variable);
  const auto signature = [&](int64_t size) {
    return catalog_
        .LayoutOf(bundle,
                  {Fp32Tensor("x", {1, size},
                              std::vector<float>(static_cast<size_t>(size)))})
        .signature;
  };
  constexpr auto kLimit = static_cast<int64_t>(LayoutTable::kMaxLayouts);
  const uint32_t used = signature(1);
  const uint32_t unused = signature(2);
  for (int64_t size = 3; size <= 2 * kLimit; ++size) {
    ASSERT_TRUE(core::IsCodable(signature(size))) << size;
    ASSERT_EQ(signature(1), used);
  }
  EXPECT_GT(catalog_.counters().layouts_forgotten, 0U);
  EXPECT_NE(signature(2), unused);
  EXPECT_TRUE(core::IsCodable(signature(2)));
}

}  // namespace
}  // namespace parm
