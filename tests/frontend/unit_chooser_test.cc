// Which unit a model uses, by what workers say in their Hellos.

#include "frontend/unit_chooser.h"

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "spdlog/sinks/ostream_sink.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

using core::BundleRole;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr ModelId kModel{0};
// Units of the model, in the order of the configuration.
constexpr uint8_t kSum = 0;
constexpr uint8_t kTwo = 1;  // weighted, two parity queries
constexpr uint8_t kPack = 2;

struct Measured {
  double cost = 0;
  double deployed = 0;
  double degraded = 0;
};

class UnitChooserTest : public ::testing::Test {
 protected:
  UnitChooserTest() {
    auto logger = std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_st>(log_));
    logger->set_pattern("%l %v");
    former_logger_ = spdlog::default_logger();
    spdlog::set_default_logger(std::move(logger));
  }
  ~UnitChooserTest() override { spdlog::set_default_logger(former_logger_); }

  // What was logged since the last call.
  std::string TakeLog() {
    std::string text = log_.str();
    log_.str("");
    return text;
  }

  static std::vector<CatalogModel> Models(bool chooses_unit) {
    CatalogModel model = {.name = "m", .chooses_unit = chooses_unit};
    for (const CodeSpec& spec : {CodeSpec{.scheme = "sum", .k = 2},
                                 CodeSpec{.scheme = "weighted", .k = 4, .r = 2},
                                 CodeSpec{.scheme = "pack", .k = 2}}) {
      model.codes.push_back(CreateCode(spec).value());
    }
    return {std::move(model), {.name = "plain"}};
  }
  static CatalogOptions Options(bool chooses_unit = true) {
    CatalogOptions options = {.models = Models(chooses_unit)};
    options.fault_domains.resize(4);
    options.max_in_flight.assign(4, 1);
    return options;
  }

  static wire::BundleInfo Bundle(char id, wire::Role role,
                                 const Measured& measured) {
    wire::BundleInfo info;
    info.set_sha256(std::string(32, id));
    info.set_model("m");
    info.set_role(role);
    for (const bool is_input : {true, false}) {
      wire::TensorSpec* spec =
          is_input ? info.add_inputs() : info.add_outputs();
      spec->set_name(is_input ? "x" : "y");
      spec->set_datatype(wire::FP32);
      spec->add_shape(-1);
      spec->add_shape(3);
    }
    info.set_relative_cost(measured.cost);
    info.set_deployed_accuracy(measured.deployed);
    if (measured.degraded > 0) info.add_degraded_accuracy(measured.degraded);
    return info;
  }
  static wire::BundleInfo Deployed(char id = 'd') {
    return Bundle(id, wire::DEPLOYED, {});
  }
  static wire::BundleInfo Parity(char id, const CodeSpec& code,
                                 const Measured& measured, uint32_t index = 0,
                                 char deployed = 'd') {
    wire::BundleInfo info = Bundle(id, wire::PARITY, measured);
    wire::Lineage& lineage = *info.mutable_lineage();
    lineage.set_deployed_sha256(std::string(32, deployed));
    lineage.set_parity_index(index);
    lineage.mutable_code()->set_scheme(code.scheme);
    lineage.mutable_code()->set_k(static_cast<uint32_t>(code.k));
    lineage.mutable_code()->set_r(static_cast<uint32_t>(code.r));
    return info;
  }
  static wire::BundleInfo SumParity(const Measured& measured) {
    return Parity('s', {.scheme = "sum", .k = 2}, measured);
  }
  static wire::BundleInfo PackParity(const Measured& measured) {
    return Parity('p', {.scheme = "pack", .k = 2}, measured);
  }

  void Serve(uint32_t worker, const std::vector<wire::BundleInfo>& bundles) {
    Serve(worker, bundles, &catalog_);
  }
  static void Serve(uint32_t worker,
                    const std::vector<wire::BundleInfo>& bundles,
                    ModelCatalog* catalog) {
    wire::Hello hello;
    hello.set_worker_id("w");
    hello.set_lanes(1);
    for (const wire::BundleInfo& info : bundles) *hello.add_bundles() = info;
    catalog->OnHello(WorkerId{worker}, hello);
  }
  uint8_t Unit() {
    chooser_.Update();
    return chooser_.UnitOf(kModel);
  }

  std::ostringstream log_;
  std::shared_ptr<spdlog::logger> former_logger_;
  ModelCatalog catalog_{Options()};
  UnitChooser chooser_{catalog_};
};

constexpr Measured kGood = {.cost = 1, .deployed = 0.92, .degraded = 0.91};
constexpr Measured kCheapButPoor = {
    .cost = 0.5, .deployed = 0.92, .degraded = 0.85};

TEST_F(UnitChooserTest, FirstListedIsUsedWhileNothingIsServed) {
  EXPECT_EQ(Unit(), kSum);
  Serve(0, {Deployed()});
  EXPECT_THAT(chooser_.Update(), IsEmpty());
  EXPECT_EQ(Unit(), kSum);
}

TEST_F(UnitChooserTest, BetterBuyIsChosenAndToldOnce) {
  Serve(0, {Deployed()});
  Serve(1, {SumParity(kCheapButPoor)});
  EXPECT_EQ(Unit(), kSum) << "the only one";
  Serve(2, {PackParity(kGood)});
  const std::vector<core::UnitChosen> news = chooser_.Update();
  ASSERT_THAT(news, SizeIs(1));
  EXPECT_EQ(news[0].model, kModel);
  EXPECT_EQ(news[0].unit, kPack);
  EXPECT_EQ(news[0].answered_by, BundleRole::kParity);
  EXPECT_EQ(news[0].cost, 1);
  EXPECT_EQ(chooser_.UnitOf(kModel), kPack);
  EXPECT_THAT(chooser_.Update(), IsEmpty());
  Serve(3, {PackParity(kGood)});
  EXPECT_THAT(chooser_.Update(), IsEmpty()) << "nothing new";
}

TEST_F(UnitChooserTest, UnitBeyondTheBoundIsWarnedOf) {
  Serve(0, {Deployed(), SumParity(kCheapButPoor)});
  TakeLog();
  EXPECT_EQ(Unit(), kSum);
  std::string log = TakeLog();
  EXPECT_THAT(log, HasSubstr("warning model 'm' uses sum"));
  EXPECT_THAT(log, HasSubstr("the only one that is served, though beyond "
                             "max_accuracy_drop"));
  Serve(1, {PackParity({.cost = 1, .deployed = 0.92, .degraded = 0.86})});
  EXPECT_EQ(Unit(), kPack);
  log = TakeLog();
  EXPECT_THAT(log, HasSubstr("warning model 'm' uses pack"));
  EXPECT_THAT(log, HasSubstr("the most accurate, though beyond"));
  Serve(2, {SumParity(kGood)});
  catalog_.OnLost(WorkerId{1});
  catalog_.OnLost(WorkerId{0});
  Serve(0, {Deployed()});
  EXPECT_EQ(Unit(), kSum);
  log = TakeLog();
  EXPECT_THAT(log, HasSubstr("info model 'm' uses sum"));
  EXPECT_THAT(log, HasSubstr("the only one that is served ("));
}

TEST_F(UnitChooserTest, UnitThatIsMeasuredBeyondTheBoundLaterIsWarnedOf) {
  Serve(0, {Deployed(), SumParity(kGood)});
  EXPECT_EQ(Unit(), kSum);
  EXPECT_THAT(TakeLog(), HasSubstr("info model 'm' uses sum"));
  Serve(1, {Parity('t', {.scheme = "sum", .k = 2},
                   {.cost = 1, .deployed = 0.92, .degraded = 0.86})});
  EXPECT_EQ(Unit(), kSum);
  EXPECT_THAT(TakeLog(), HasSubstr("warning model 'm' uses sum"));
  // The bundle that was measured worse is gone again.
  catalog_.OnLost(WorkerId{1});
  EXPECT_EQ(Unit(), kSum);
  EXPECT_THAT(TakeLog(), HasSubstr("info model 'm' uses sum"));
  Serve(2, {Deployed()});
  EXPECT_THAT(chooser_.Update(), IsEmpty()) << "told once";
}

TEST_F(UnitChooserTest, NextBestIsUsedWhileWorkersAreAway) {
  Serve(0, {Deployed()});
  Serve(1, {SumParity(kCheapButPoor)});
  Serve(2, {PackParity(kGood)});
  EXPECT_EQ(Unit(), kPack);
  catalog_.SetTakesTasks(WorkerId{2}, false);
  EXPECT_EQ(Unit(), kSum);
  catalog_.SetTakesTasks(WorkerId{2}, true);
  EXPECT_EQ(Unit(), kPack);
  catalog_.OnLost(WorkerId{2});
  EXPECT_EQ(Unit(), kSum);
  catalog_.OnLost(WorkerId{1});
  EXPECT_EQ(Unit(), kSum) << "the last that was served";
}

TEST_F(UnitChooserTest, EveryParityIndexMustBeServed) {
  const CodeSpec two = {.scheme = "weighted", .k = 4, .r = 2};
  Serve(0, {Deployed(), SumParity(kGood)});
  Serve(1, {Parity('a', two, kGood, 0)});
  EXPECT_EQ(Unit(), kSum);
  // Cheaper for each query: 1.5 / 4 against 1 / 2.
  Serve(2, {Parity('b', two, {.cost = 0.5, .deployed = 0.92, .degraded = 0.91},
                   1)});
  const std::vector<core::UnitChosen> news = chooser_.Update();
  ASSERT_THAT(news, SizeIs(1));
  EXPECT_EQ(news[0].unit, kTwo);
  EXPECT_EQ(news[0].cost, 1.5) << "of both";
}

TEST_F(UnitChooserTest, OtherLineagesAreNoUnitsOfTheServedBundle) {
  Serve(0, {Deployed('d')});
  Serve(1, {SumParity(kGood)});
  Serve(2, {Parity('p', {.scheme = "pack", .k = 2},
                   {.cost = 0.1, .deployed = 0.92, .degraded = 0.92}, 0, 'e')});
  EXPECT_EQ(Unit(), kSum);
  // The model is served from another bundle now.
  Serve(0, {Deployed('e')});
  EXPECT_EQ(Unit(), kPack);
}

TEST_F(UnitChooserTest, BackupPacksAtItsCostForEachMember) {
  Serve(0, {Deployed(),
            PackParity({.cost = 1.6, .deployed = 0.92, .degraded = 0.92})});
  Serve(1, {Bundle('b', wire::BACKUP,
                   {.cost = 0.3, .deployed = 0.92, .degraded = 0.91})});
  const std::vector<core::UnitChosen> news = chooser_.Update();
  ASSERT_THAT(news, SizeIs(1));
  EXPECT_EQ(news[0].unit, kPack);
  EXPECT_EQ(news[0].answered_by, BundleRole::kBackup);
  EXPECT_DOUBLE_EQ(news[0].cost, 0.6);
}

TEST_F(UnitChooserTest, WorstOfSeveralBundlesCounts) {
  const Measured dear = {.cost = 3, .deployed = 0.92, .degraded = 0.92};
  Serve(0, {Deployed(), SumParity(kGood)});
  Serve(1, {PackParity({.cost = 0.5, .deployed = 0.92, .degraded = 0.91})});
  EXPECT_EQ(Unit(), kPack);
  Serve(2, {Parity('q', {.scheme = "pack", .k = 2}, dear)});
  EXPECT_EQ(Unit(), kSum) << "the core may send to the dear one";
}

TEST_F(UnitChooserTest, FiguresMeasuredAnewAreHeard) {
  Serve(0, {Deployed(), SumParity(kGood)});
  Serve(1, {PackParity({})});  // of an older worker, which tells none
  EXPECT_EQ(Unit(), kSum);
  Serve(1, {PackParity({.cost = 0.5, .deployed = 0.92, .degraded = 0.91})});
  EXPECT_EQ(Unit(), kPack);
}

TEST_F(UnitChooserTest, UnitsThatCannotCodeTheModelAreLeftOut) {
  wire::BundleInfo deployed = Deployed();
  deployed.mutable_outputs(0)->set_datatype(wire::INT64);
  Serve(0, {deployed});
  Serve(1, {SumParity(kGood), PackParity(kGood)});
  EXPECT_THAT(chooser_.Update(), IsEmpty());
}

TEST_F(UnitChooserTest, ModelsOfOneCodeAreLeftAsTheyAre) {
  ModelCatalog catalog(Options(/*chooses_unit=*/false));
  UnitChooser chooser(catalog);
  Serve(0, {Deployed(), PackParity(kGood)}, &catalog);
  EXPECT_THAT(chooser.Update(), IsEmpty());
  EXPECT_EQ(chooser.UnitOf(kModel), kSum);
  ASSERT_THAT(chooser.Specs(), SizeIs(2));
  EXPECT_EQ(chooser.Specs()[0]->scheme, "sum");
  EXPECT_EQ(chooser.Specs()[1], nullptr);
}

}  // namespace
}  // namespace parm
