// Every systematic code as the frontend serves it: a core on virtual time, with
// encodes and decodes of real tensors. Groups of every size, closed when they
// are full or by their timer, of which any part arrives, in any order.

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "frontend/coding_performer.h"
#include "gtest/gtest.h"
#include "tests/encoder/code_fixture.h"
#include "tests/frontend/core/core_harness.h"
#include "tests/frontend/tensors.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using core::AnswerSource;

constexpr int64_t kRows = 2;  // of every member
constexpr Duration kGroupTimeout = Milliseconds(10);
constexpr Duration kTrigger = Milliseconds(50);
constexpr Duration kHorizon = Milliseconds(100);  // of late originals

ArrivalMask Bit(size_t slot) { return ArrivalMask{1} << slot; }

oip::Tensor ToTensor(const OwnedTensor& owned) {
  return {
      .spec = {.name = "t", .datatype = owned.datatype, .shape = owned.shape},
      .data = Buffer::CopyOf(owned.bytes)};
}

BundleKey ParityBundle(size_t parity_index) {
  return BundleKey{Raw(core::kParity) + static_cast<uint32_t>(parity_index)};
}

// `code` outlives the core: to make one for each group would take most of the
// time.
core::CoreOptions OptionsFor(const Code& code) {
  const CodeSpec& spec = code.spec();
  core::CoreOptions options =
      core::PlainOptions(static_cast<uint32_t>(spec.k + spec.r));
  options.max_queries = kMaxMembers;
  options.ledger_room = 1;
  options.feedback_horizon = kHorizon;
  core::ModelOptions& model = options.models[0];
  model.policy = core::PolicyKind::kCoded;
  model.code = {std::shared_ptr<const Code>(), &code};
  model.max_batch_size = kRows;
  model.group_timeout = kGroupTimeout;
  model.decode.trigger_max = kTrigger;
  model.decode.max_noise_gain = 1e9;
  return options;
}

// One group at a core with a worker for each member and each parity, and the
// tensors that the live loop would keep for the core.
class ServedGroup {
 public:
  ServedGroup(const Code& code, const CodedGroup& group)
      : code_(code), group_(group), core_(OptionsFor(code)) {
    for (size_t worker = 0; worker < k() + r(); ++worker) {
      const auto id = static_cast<uint32_t>(worker);
      const core::ServedBundle deployed = {core::kDeployed, core::kModel,
                                           core::BundleRole::kDeployed,
                                           core::kDeployed};
      const size_t index = worker < k() ? 0 : worker - k();
      const core::ServedBundle parity = {
          ParityBundle(index), core::kModel, core::BundleRole::kParity,
          core::kDeployed, static_cast<uint8_t>(index)};
      core_.Handle(
          core::WorkerUp{.worker = WorkerId{id},
                         .nonce = 1,
                         .fault_domain = id,
                         .bundles = {worker < k() ? &deployed : &parity, 1}});
      core_.heard.push_back(id);
    }
  }

  // Until every member and every parity query is at a worker.
  void Send() {
    for (const OwnedTensor& member : group_.members) {
      queries_.push_back(core_.Arrive({.samples = kRows}));
      tensors_[core_.InputOf(queries_.back())] = ToTensor(member);
    }
    const bool full = queries_.size() == k();
    if (!full) core_.Advance(kGroupTimeout);
    EXPECT_EQ(core_.model().groups_closed_full, full ? 1U : 0U);
    EXPECT_EQ(core_.model().groups_closed_short, full ? 0U : 1U);
    ASSERT_EQ(core_.out.encodes.size(), r());
    for (size_t i = 0; i < r(); ++i) EncodeParity(i);
    ASSERT_EQ(core_.out.sent.size(), queries_.size() + r());
  }

  // The worker of an output slot replies.
  void Reply(size_t slot) {
    const core::Sent sent = TaskOf(slot);
    tensors_[core_.Reply(sent)] = ToTensor(group_.outputs[slot]);
    DecodeMembers();
  }

  void PassTrigger() {
    core_.Advance(kTrigger);
    DecodeMembers();
  }

  void PassHorizon() {
    core_.Advance(Milliseconds(500) + kHorizon);  // after the deadline
    core_.ExpectEmpty();
    EXPECT_EQ(core_.model().decode_failures, 0U);
  }

  std::optional<AnswerSource> SourceOf(size_t member) const {
    const core::AnswerQuery* const answer = AnswerTo(member);
    if (answer == nullptr) return std::nullopt;
    return answer->source;
  }

  // The largest difference of a member's answer from its own output, in units
  // of the decode's noise gain.
  double ErrorOf(size_t member) const {
    const core::AnswerQuery& answer = *AnswerTo(member);
    const std::vector<float> got = Floats(tensors_.at(answer.output));
    const std::vector<double> want = group_.outputs[member].Values();
    if (got.size() != want.size()) return HUGE_VAL;
    const auto gain = noise_gain_.find(answer.output);
    double largest = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      largest = std::max(largest, std::abs(double{got[i]} - want[i]));
    }
    return gain == noise_gain_.end() ? largest : largest / gain->second;
  }

 private:
  size_t k() const { return static_cast<size_t>(code_.spec().k); }
  size_t r() const { return static_cast<size_t>(code_.spec().r); }

  const oip::Tensor& Get(BufferId id) const {
    EXPECT_FALSE(core_.Released(id));
    return tensors_.at(id);
  }

  void EncodeParity(size_t position) {
    const core::Encode encode = core_.out.encodes[position];
    std::vector<MemberTensors> members;
    for (const std::vector<BufferId>& inputs : encode.members) {
      members.emplace_back();
      for (const BufferId id : inputs) members.back().push_back(&Get(id));
    }
    const int index = encode.action.parity_index;
    absl::StatusOr<oip::Tensor> parity =
        EncodeParityQuery(code_, index, members);
    ASSERT_THAT(parity, IsOk());
    const OwnedTensor& want = group_.parities[static_cast<size_t>(index)];
    EXPECT_EQ(parity->spec.shape, want.shape);
    EXPECT_EQ(parity->data.bytes(), absl::MakeConstSpan(want.bytes));
    tensors_[core_.Encoded(encode)] = *std::move(parity);
  }

  core::Sent TaskOf(size_t slot) const {
    for (const core::Sent& sent : core_.out.sent) {
      if (slot < k() ? sent.inputs.at(0) == core_.InputOf(queries_.at(slot))
                     : sent.task.bundle == ParityBundle(slot - k())) {
        return sent;
      }
    }
    ADD_FAILURE() << "nothing was sent for slot " << slot;
    return {};
  }

  void DecodeMembers() {
    for (; num_decoded_ < core_.out.decodes.size(); ++num_decoded_) {
      const core::Decode decode = core_.out.decodes[num_decoded_];
      std::vector<const oip::Tensor*> outputs;
      for (const BufferId id : decode.outputs) {
        outputs.push_back(id == BufferId{} ? nullptr : &Get(id));
      }
      absl::StatusOr<DecodedOutput> decoded = DecodeMemberOutput(
          code_, decode.action.num_members, outputs, decode.action.member,
          {"logits", DataType::kFp32, {-1, kNumClasses}}, kRows);
      ASSERT_THAT(decoded, IsOk());
      const BufferId id = core_.Decoded(decode, {}, decoded->report.noise_gain);
      noise_gain_[id] = decoded->report.noise_gain;
      tensors_[id] = std::move(decoded->tensor);
    }
  }

  const core::AnswerQuery* AnswerTo(size_t member) const {
    for (const core::AnswerQuery& answer : core_.out.answers) {
      if (answer.query == queries_[member]) return &answer;
    }
    return nullptr;
  }

  const Code& code_;
  const CodedGroup& group_;
  core::CoreHarness core_;
  std::vector<QueryId> queries_;
  std::map<BufferId, oip::Tensor> tensors_;
  std::map<BufferId, double> noise_gain_;  // of decoded outputs
  size_t num_decoded_ = 0;
};

class CodedGroupsTest : public CodeFixture {
 protected:
  // Output slots of a group: all 2^n subsets where these are few, else those
  // without at most two or one.
  std::vector<std::vector<size_t>> Subsets(size_t num_members) {
    std::vector<size_t> slots;
    for (size_t i = 0; i < num_members; ++i) slots.push_back(i);
    for (size_t i = 0; i < static_cast<size_t>(r()); ++i) {
      slots.push_back(static_cast<size_t>(k()) + i);
    }
    std::vector<std::vector<size_t>> subsets;
    for (ArrivalMask chosen = 0; chosen < Bit(slots.size()); ++chosen) {
      const auto missing =
          static_cast<int>(slots.size()) - std::popcount(chosen);
      if (missing > (slots.size() <= 6 ? 6 : slots.size() <= 9 ? 2 : 1)) {
        continue;
      }
      subsets.emplace_back();
      for (size_t i = 0; i < slots.size(); ++i) {
        if ((chosen & Bit(i)) != 0) subsets.back().push_back(slots[i]);
      }
    }
    return subsets;
  }

  double Tolerance(DataType datatype) const {
    return 1e-4 * (IsFloat(datatype) ? 1 : 255) +
           reference_->answer_rounding(GetParam(), datatype) *
               model_->MaxRowAbsSum();
  }

  // Serves a group whose outputs come in this order, before the trigger or
  // after it, and holds each answer against what the code promises.
  void Serve(const CodedGroup& group, const std::vector<size_t>& order,
             bool after_trigger, double tolerance) {
    const size_t num_members = group.members.size();
    const auto k = static_cast<size_t>(GetParam().k);
    ServedGroup served(*code_, group);
    ASSERT_NO_FATAL_FAILURE(served.Send());
    std::vector<std::optional<AnswerSource>> want(num_members);
    ArrivalMask here = 0;
    const auto expect_decodes = [&] {
      for (size_t i = 0; i < num_members; ++i) {
        if (!want[i] && code_->Suffices(static_cast<int>(num_members), here,
                                        static_cast<int>(i))) {
          want[i] = AnswerSource::kReconstructed;
        }
      }
    };
    if (after_trigger) served.PassTrigger();
    for (const size_t slot : order) {
      served.Reply(slot);
      here |= Bit(slot);
      if (slot < k && !want[slot]) want[slot] = AnswerSource::kExact;
      if (after_trigger) expect_decodes();
    }
    if (!after_trigger) {
      served.PassTrigger();
      expect_decodes();
    }
    for (size_t i = 0; i < num_members; ++i) {
      ASSERT_EQ(served.SourceOf(i), want[i]) << "member " << i;
      if (want[i]) {
        ASSERT_LE(served.ErrorOf(i), tolerance) << "member " << i;
      }
    }
    // What did not come still does: the rest is exact, and nothing is left.
    for (size_t i = 0; i < k + static_cast<size_t>(r()); ++i) {
      const bool in_group = i < num_members || i >= k;
      if (in_group && (here & Bit(i)) == 0) served.Reply(i);
    }
    for (size_t i = 0; i < num_members; ++i) {
      if (want[i]) continue;
      ASSERT_NE(served.SourceOf(i), std::nullopt) << "member " << i;
      ASSERT_LE(served.ErrorOf(i), tolerance) << "member " << i;
    }
    served.PassHorizon();
  }
};

TEST_P(CodedGroupsTest, AnyPartOfAnyGroupIsServed) {
  std::bernoulli_distribution coin;
  for (const DataType datatype : {DataType::kFp32, DataType::kUint8}) {
    const auto& known = reference_->datatypes;
    if (std::find(known.begin(), known.end(), datatype) == known.end()) {
      continue;
    }
    for (const int num_members : GroupSizes()) {
      const CodedGroup group = MakeGroup(datatype, num_members, kRows);
      for (std::vector<size_t> order :
           Subsets(static_cast<size_t>(num_members))) {
        std::shuffle(order.begin(), order.end(), random_);
        const bool after_trigger = coin(random_);
        SCOPED_TRACE(
            absl::StrCat(DataTypeName(datatype), " members=", num_members,
                         " arrivals ", absl::StrJoin(order, ","),
                         after_trigger ? " after" : " before", " the trigger"));
        Serve(group, order, after_trigger, Tolerance(datatype));
        if (HasFailure()) return;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryScheme, CodedGroupsTest,
                         testing::ValuesIn(AllCodeSpecs()), CodeTestName);

}  // namespace
}  // namespace parm
