// How sure decodes are said to be: by what was lost and what the code made of
// what arrived. What else the performer does is seen in frontend_loop_test.

#include "frontend/action_performer.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/tensors.h"

namespace parm {
namespace {

constexpr ModelId kModel{0};
constexpr WorkerId kWorker{0};
constexpr BufferId kNone{};

/// For decodes of one pattern: this probability, whatever the margin.
struct PatternRight {
  uint32_t losses;
  uint32_t parities;
  double probability;
};

void AddSpec(google::protobuf::RepeatedPtrField<wire::TensorSpec>* specs,
             const std::string& name) {
  wire::TensorSpec* spec = specs->Add();
  spec->set_name(name);
  spec->set_datatype(wire::FP32);
  spec->add_shape(-1);
  spec->add_shape(2);
}

/// One model of code `weighted`, whose parities a worker serves.
class ActionPerformerTest : public ::testing::Test {
 protected:
  /// `usual` and `patterns`: of each parity.
  void Serve(int k, std::vector<double> usual,
             const std::vector<std::vector<PatternRight>>& patterns) {
    const CodeSpec spec = {
        .scheme = "weighted", .k = k, .r = static_cast<int>(usual.size())};
    models_.resize(1);
    models_[0].code = CreateCode(spec).value();
    CatalogOptions options;
    options.models = {{.name = "m", .codes = {models_[0].code}}};
    options.fault_domains = {""};
    options.max_in_flight = {1};
    catalog_ = std::make_unique<ModelCatalog>(options);
    wire::Hello hello;
    *hello.add_bundles() = BundleOf('d');
    for (size_t parity = 0; parity < usual.size(); ++parity) {
      wire::BundleInfo info = BundleOf(static_cast<char>('p' + parity));
      info.set_role(wire::PARITY);
      wire::Lineage& lineage = *info.mutable_lineage();
      lineage.set_deployed_sha256(std::string(32, 'd'));
      lineage.set_parity_index(static_cast<uint32_t>(parity));
      lineage.mutable_code()->set_scheme(spec.scheme);
      lineage.mutable_code()->set_k(static_cast<uint32_t>(spec.k));
      lineage.mutable_code()->set_r(static_cast<uint32_t>(spec.r));
      info.add_calibration()->set_probability_right(usual[parity]);
      for (const PatternRight& right : patterns.at(parity)) {
        wire::PatternCalibration* pattern = info.add_pattern_calibration();
        pattern->set_losses(right.losses);
        pattern->set_parities(right.parities);
        pattern->add_calibration()->set_probability_right(right.probability);
      }
      *hello.add_bundles() = info;
    }
    for (const core::ServedBundle& served :
         catalog_->OnHello(kWorker, hello).bundles) {
      keys_.push_back(served.bundle);
    }
    ASSERT_EQ(keys_.size(), 1 + usual.size());
    performer_ = std::make_unique<ActionPerformer>(ActionPerformer::Parts{
        .buffers = &buffers_, .catalog = catalog_.get(), .models = &models_});
  }

  /// Of member 0, decoded from the other slots of these.
  std::optional<float> ConfidenceWith(uint8_t num_members,
                                      ArrivalMask arrived) {
    const CodeSpec& spec = models_[0].code->spec();
    std::vector<BufferId> outputs;
    for (int slot = 0; slot < spec.k + spec.r; ++slot) {
      if ((arrived >> slot & 1U) == 0) {
        outputs.push_back(kNone);
        continue;
      }
      TensorSet set{.rows = 1};
      set.tensors.push_back(Fp32Tensor("y", {1, 2}, {3, 1}));
      const int parity = slot - spec.k;
      set.bundle = keys_[parity < 0 ? 0 : static_cast<size_t>(parity) + 1];
      outputs.push_back(buffers_.Add(std::move(set)));
    }
    performer_->Emit(core::DecodeMember{.group = GroupId{1},
                                        .model = kModel,
                                        .unit = 0,
                                        .member = 0,
                                        .num_members = num_members,
                                        .deployed = keys_[0],
                                        .outputs = outputs});
    const core::Event event = performer_->TakeEvent();
    const auto& decoded = std::get<core::MemberDecoded>(event);
    EXPECT_TRUE(decoded.ok);
    return decoded.confidence;
  }

  static wire::BundleInfo BundleOf(char id) {
    wire::BundleInfo info;
    info.set_sha256(std::string(32, id));
    info.set_model("m");
    info.set_role(wire::DEPLOYED);
    AddSpec(info.mutable_inputs(), "x");
    AddSpec(info.mutable_outputs(), "y");
    return info;
  }

  BufferTable buffers_;
  std::vector<core::ModelOptions> models_;
  std::unique_ptr<ModelCatalog> catalog_;
  std::vector<BundleKey> keys_;  // deployed, then the parities
  std::unique_ptr<ActionPerformer> performer_;
};

// Slots of k = 2, r = 2: members 1 and 2, parities 4 and 8.
TEST_F(ActionPerformerTest, EachPatternOfTwoParitiesHasItsOwnTable) {
  Serve(2, {0.875, 0.75},
        {{{1, 0b01, 0.5}, {2, 0b11, 0.25}},
         {{1, 0b10, 0.625}, {2, 0b11, 0.375}}});
  EXPECT_EQ(ConfidenceWith(2, 0b1110), 0.75F);   // the less sure of both
  EXPECT_EQ(ConfidenceWith(2, 0b0110), 0.5F);    // parity 0 alone
  EXPECT_EQ(ConfidenceWith(2, 0b1010), 0.625F);  // parity 1 alone
  EXPECT_EQ(ConfidenceWith(2, 0b1100), 0.25F);   // both members lost
  // A group of one: what is beyond it is not lost.
  EXPECT_EQ(ConfidenceWith(1, 0b1100), 0.75F);
  EXPECT_EQ(ConfidenceWith(1, 0b0100), 0.5F);
}

TEST_F(ActionPerformerTest, BundlesOfOneTableTellOfOneLossWithAllParities) {
  Serve(2, {0.875, 0.75}, {{}, {}});
  EXPECT_EQ(ConfidenceWith(2, 0b1110), 0.75F);
  for (const ArrivalMask arrived : {0b0110U, 0b1010U, 0b1100U}) {
    EXPECT_EQ(ConfidenceWith(2, arrived), std::nullopt) << arrived;
  }
}

TEST_F(ActionPerformerTest, EveryBundleThatIsUsedMustTellOfThePattern) {
  Serve(2, {0.875, 0.75}, {{{2, 0b11, 0.25}, {1, 0b01, 0.5}}, {}});
  EXPECT_EQ(ConfidenceWith(2, 0b1100), std::nullopt);
  EXPECT_EQ(ConfidenceWith(2, 0b1010), std::nullopt);
  EXPECT_EQ(ConfidenceWith(2, 0b0110), 0.5F);
}

// Slots of k = 3, r = 3: members 1, 2 and 4, parities 8, 16 and 32.
TEST_F(ActionPerformerTest, SetsOfThreeParitiesAreToldApart) {
  std::vector<std::vector<PatternRight>> patterns(3);
  std::map<std::pair<uint32_t, uint32_t>, double> told;
  for (uint32_t losses = 1; losses <= 3; ++losses) {
    for (uint32_t parities = 1; parities < 8; ++parities) {
      const double probability = losses / 4.0 + parities / 64.0;
      told[{losses, parities}] = probability;
      for (size_t parity = 0; parity < 3; ++parity) {
        if ((parities >> parity & 1U) == 0) continue;
        patterns[parity].push_back({losses, parities, probability});
      }
    }
  }
  told[{1, 7}] = 0.125;
  Serve(3, {0.125, 0.125, 0.125}, patterns);
  const ArrivalMask members[] = {0b110, 0b100, 0};  // by losses
  for (uint32_t losses = 1; losses <= 3; ++losses) {
    for (uint32_t parities = 1; parities < 8; ++parities) {
      const ArrivalMask arrived = members[losses - 1] | parities << 3;
      if (!models_[0].code->Suffices(3, arrived, 0)) continue;
      EXPECT_EQ(ConfidenceWith(3, arrived),
                static_cast<float>(told.at({losses, parities})))
          << "losses=" << losses << " parities=" << parities;
    }
  }
}

}  // namespace
}  // namespace parm
