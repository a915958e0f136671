#include "parity_trainer/evaluation.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "parity_trainer/group_encoder.h"
#include "parity_trainer/grouping.h"

namespace parm {
namespace {

constexpr int64_t kGroupsAtOnce = 250;
constexpr double kGreatestDeviation = 0.5;  // of what lies between 0 and 1

int32_t ArgMax(absl::Span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) -
                              logits.begin());
}

bool IsRight(absl::Span<const float> logits, int32_t label) {
  return ArgMax(logits) == label;
}

struct BlockCount {
  int64_t decodes = 0;
  int64_t right = 0;
};

/// One pattern of decodes, each way that members can be lost in it, and what
/// was counted.
struct Sweep {
  DecodePattern pattern;
  std::vector<ArrivalMask> lost;
  DegradedAccuracy a_d;
  std::vector<BlockCount> blocks;  // as Grouping makes them
  std::vector<JudgedDecode> decodes;
};

/// Every way to lose so many members, if the code covers them all with these
/// parities alone; else none.
std::vector<ArrivalMask> CoveredLosses(const Code& code,
                                       const DecodePattern& pattern) {
  const int k = code.spec().k;
  const ArrivalMask members = (ArrivalMask{1} << k) - 1;
  std::vector<ArrivalMask> covered;
  for (ArrivalMask lost = 1; lost <= members; ++lost) {
    if (std::popcount(lost) != pattern.losses) continue;
    const ArrivalMask arrived = (members & ~lost) | pattern.parities << k;
    for (int member = 0; member < k; ++member) {
      if ((lost >> member & 1U) != 0 && !code.Suffices(k, arrived, member)) {
        return {};
      }
    }
    covered.push_back(lost);
  }
  return covered;
}

/// Ascending number of losses.
std::vector<Sweep> SweepsOf(const Code& code, int64_t num_blocks) {
  // A multi-output answer decodes each member by itself, whatever else is lost:
  // the figures for one loss are those for any number.
  const int most_losses = code.multi_output() ? 1 : code.spec().k;
  std::vector<Sweep> sweeps;
  for (int losses = 1; losses <= most_losses; ++losses) {
    for (ArrivalMask parities = 1;
         parities <= UsualPattern(code.spec().r).parities; ++parities) {
      const DecodePattern pattern = {.losses = losses, .parities = parities};
      std::vector<ArrivalMask> lost = CoveredLosses(code, pattern);
      if (lost.empty()) continue;
      sweeps.push_back(
          {.pattern = pattern,
           .lost = std::move(lost),
           .a_d = {.losses = losses},
           .blocks = std::vector<BlockCount>(static_cast<size_t>(num_blocks))});
    }
  }
  return sweeps;
}

/// Outputs of some groups: slots as Code::Decode takes them, batched.
struct GroupOutputs {
  const Grouping* grouping = nullptr;
  int64_t first_group = 0;
  int64_t count = 0;
  std::vector<HostTensor> slots;  // k members, r parities
};

class ErasureCounter {
 public:
  ErasureCounter(const Code& code, const Dataset& data,
                 const HostTensor& deployed_logits)
      : code_(code), data_(data), deployed_logits_(deployed_logits) {}

  /// Member `slot` of each of the groups, slot after slot.
  std::vector<int64_t> SlotMajor(const GroupOutputs& groups) const {
    std::vector<int64_t> samples;
    for (int64_t slot = 0; slot < code_.spec().k; ++slot) {
      for (int64_t i = 0; i < groups.count; ++i) {
        samples.push_back(
            groups.grouping->SampleAt(groups.first_group + i, slot));
      }
    }
    return samples;
  }

  std::vector<HostTensor> MemberOutputs(
      absl::Span<const int64_t> slot_major) const {
    const auto k = static_cast<size_t>(code_.spec().k);
    const size_t count = slot_major.size() / k;
    const size_t row_bytes = deployed_logits_.bytes.size() /
                             static_cast<size_t>(deployed_logits_.shape[0]);
    std::vector<HostTensor> outputs(k);
    for (size_t i = 0; i < slot_major.size(); ++i) {
      outputs[i / count].bytes.append(
          deployed_logits_.bytes,
          static_cast<size_t>(slot_major[i]) * row_bytes, row_bytes);
    }
    for (HostTensor& output : outputs) {
      output.datatype = DataType::kFp32;
      output.shape = {static_cast<int64_t>(count), deployed_logits_.shape[1]};
    }
    return outputs;
  }

  /// Fills the slots with what members and parity models answer.
  absl::Status Answer(absl::Span<const ModelRunner* const> parity_models,
                      DataType wire_datatype, GroupOutputs* outputs) const {
    const std::vector<int64_t> members = SlotMajor(*outputs);
    outputs->slots = MemberOutputs(members);
    for (size_t parity = 0; parity < parity_models.size(); ++parity) {
      PARM_ASSIGN_OR_RETURN(const HostTensor query,
                            EncodeGroups(code_, static_cast<int>(parity), data_,
                                         data_.test, members, wire_datatype));
      PARM_ASSIGN_OR_RETURN(HostTensor answer,
                            parity_models[parity]->Run(query));
      outputs->slots.push_back(std::move(answer));
    }
    return absl::OkStatus();
  }

  /// Decodes and judges what one way to lose members makes of these groups.
  absl::Status Count(const GroupOutputs& outputs, ArrivalMask lost,
                     Sweep* sweep) const {
    const size_t k = static_cast<size_t>(code_.spec().k);
    const ArrivalMask there =
        ~lost & (sweep->pattern.parities << k | ((ArrivalMask{1} << k) - 1));
    std::vector<std::optional<TensorView>> present;
    for (size_t slot = 0; slot < outputs.slots.size(); ++slot) {
      present.push_back((there >> slot & 1U) == 0
                            ? std::nullopt
                            : std::make_optional(outputs.slots[slot].view()));
    }
    HostTensor decoded = outputs.slots[0];
    for (int member = 0; member < code_.spec().k; ++member) {
      if ((lost >> member & 1U) == 0) continue;
      PARM_ASSIGN_OR_RETURN(const DecodeReport report,
                            code_.Decode(code_.spec().k, present, member,
                                         decoded.mutable_view()));
      // Else these would be decodes of another pattern.
      PARM_CHECK(report.used >> k == sweep->pattern.parities);
      const auto classes = static_cast<size_t>(deployed_logits_.shape[1]);
      for (int64_t row = 0; row < outputs.count; ++row) {
        const int64_t group = outputs.first_group + row;
        if (outputs.grouping->IsFiller(group, member)) continue;
        const absl::Span<const float> logits = decoded.floats().subspan(
            static_cast<size_t>(row) * classes, classes);
        const int64_t sample = outputs.grouping->SampleAt(group, member);
        const JudgedDecode decode =
            Judge(logits, outputs.grouping->IdOf(group), sample);
        const auto block_index =
            static_cast<size_t>(outputs.grouping->BlockOf(group));
        BlockCount& block = sweep->blocks[block_index];
        ++block.decodes;
        if (decode.right) ++block.right;
        sweep->decodes.push_back(decode);
      }
    }
    return absl::OkStatus();
  }

 private:
  JudgedDecode Judge(absl::Span<const float> logits, int64_t group,
                     int64_t sample) const {
    const auto index = static_cast<size_t>(sample);
    const int32_t label = data_.test.labels[index];
    const int32_t answer = ArgMax(logits);
    const int32_t exact = ArgMax(deployed_logits_.floats().subspan(
        index * logits.size(), logits.size()));
    return {.group = group,
            .sample = sample,
            .label = label,
            .margin = MarginOf(logits),
            .right = answer == label,
            .deployed_right = exact == label,
            .agrees = answer == exact};
  }

  const Code& code_;
  const Dataset& data_;
  const HostTensor& deployed_logits_;
};

/// Sets what follows from the counts. The accuracy is a ratio of sums over
/// blocks, which are independent; its standard error is that of such ratios
/// (Cochran, Sampling Techniques, chapter 6).
void SetAccuracy(Sweep* sweep) {
  BlockCount all;
  for (const BlockCount& block : sweep->blocks) {
    all.decodes += block.decodes;
    all.right += block.right;
  }
  const auto decodes = static_cast<double>(all.decodes);
  const double accuracy = static_cast<double>(all.right) / decodes;
  double squares = 0;
  for (const BlockCount& block : sweep->blocks) {
    const double surplus = static_cast<double>(block.right) -
                           accuracy * static_cast<double>(block.decodes);
    squares += surplus * surplus;
  }
  const auto blocks = static_cast<double>(sweep->blocks.size());
  sweep->a_d.samples = all.decodes;
  sweep->a_d.accuracy = accuracy;
  sweep->a_d.standard_error =
      blocks < 2 ? kGreatestDeviation
                 : std::sqrt(squares * blocks / (blocks - 1)) / decodes;
}

/// Adds what was counted to the figures that it belongs to.
void AddFigures(Sweep sweep, const Code& code, ErasureResult* result) {
  SetAccuracy(&sweep);
  const DegradedAccuracy& row = sweep.a_d;
  const DecodePattern usual = UsualPattern(code.spec().r);
  if (sweep.pattern.parities == usual.parities) result->a_d.push_back(row);
  if (sweep.pattern == usual) {
    result->decodes = std::move(sweep.decodes);
  } else {
    result->patterns.push_back({.pattern = sweep.pattern,
                                .a_d = row,
                                .decodes = std::move(sweep.decodes)});
  }
}

}  // namespace

std::vector<JudgedDecode> HalfOf(absl::Span<const JudgedDecode> decodes,
                                 bool odd) {
  std::vector<JudgedDecode> half;
  for (const JudgedDecode& decode : decodes) {
    if ((decode.group % 2 == 1) == odd) half.push_back(decode);
  }
  return half;
}

double Accuracy(const HostTensor& logits, const std::vector<int32_t>& labels) {
  PARM_CHECK(!labels.empty() && logits.shape.size() == 2 &&
             logits.shape[0] == static_cast<int64_t>(labels.size()));
  const auto classes = static_cast<size_t>(logits.shape[1]);
  int64_t right = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (IsRight(logits.floats().subspan(i * classes, classes), labels[i])) {
      ++right;
    }
  }
  return static_cast<double>(right) / static_cast<double>(labels.size());
}

std::vector<int32_t> AnsweredClasses(const HostTensor& logits) {
  PARM_CHECK(logits.shape.size() == 2);
  const auto classes = static_cast<size_t>(logits.shape[1]);
  std::vector<int32_t> answered(static_cast<size_t>(logits.shape[0]));
  for (size_t i = 0; i < answered.size(); ++i) {
    answered[i] = ArgMax(logits.floats().subspan(i * classes, classes));
  }
  return answered;
}

absl::string_view TruthOf(const Dataset& data) {
  return data.labelled ? "labels" : "deployed";
}

std::string DescribeDeployedAccuracy(double a_a, const Dataset& data) {
  if (data.labelled) {
    return absl::StrFormat("A_a %.2f %% of %d", 100 * a_a, data.test.size());
  }
  return absl::StrFormat(
      "no labels: right is what the deployed model answers to %d samples",
      data.test.size());
}

absl::StatusOr<ErasureResult> EvaluateErasures(
    const Code& code, const std::vector<const ModelRunner*>& parity_models,
    const Dataset& data, DataType wire_datatype,
    const HostTensor& deployed_logits) {
  const int k = code.spec().k;
  PARM_CHECK(data.test.size() >= k);
  PARM_CHECK(parity_models.size() == static_cast<size_t>(code.spec().r));
  const int groupings =
      code.mixes_members() ? NumGroupings(data.test.size()) : 1;
  const Grouping own_order(data.test.size(), k, /*number=*/0);
  std::vector<Sweep> sweeps = SweepsOf(code, own_order.num_blocks());
  ErasureResult result{.groupings = groupings,
                       .groups = own_order.num_groups(),
                       .leftover = data.test.size() % k};
  const ErasureCounter counter(code, data, deployed_logits);
  for (int number = 0; number < groupings; ++number) {
    const Grouping grouping(data.test.size(), k, number);
    for (int64_t first = 0; first < result.groups; first += kGroupsAtOnce) {
      GroupOutputs outputs{
          .grouping = &grouping,
          .first_group = first,
          .count = std::min(kGroupsAtOnce, result.groups - first)};
      PARM_RETURN_IF_ERROR(
          counter.Answer(parity_models, wire_datatype, &outputs));
      for (Sweep& sweep : sweeps) {
        for (const ArrivalMask lost : sweep.lost) {
          PARM_RETURN_IF_ERROR(counter.Count(outputs, lost, &sweep));
        }
      }
    }
  }
  for (Sweep& sweep : sweeps) AddFigures(std::move(sweep), code, &result);
  if (code.multi_output() && k > 1) SetSiblingsAgree(&result.decodes);
  while (code.multi_output() && !result.a_d.empty() &&
         result.a_d.back().losses < k) {
    DegradedAccuracy more = result.a_d.back();
    ++more.losses;
    result.a_d.push_back(more);
  }
  return result;
}

}  // namespace parm
