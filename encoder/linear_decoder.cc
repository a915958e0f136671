#include "encoder/linear_decoder.h"

#include <cstddef>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "encoder/decode_row.h"
#include "encoder/kernels.h"
#include "encoder/tensor_checks.h"

namespace parm {
namespace {

constexpr ArrivalMask LowBits(int count) { return (1U << count) - 1; }

// Output slots of a group of k, squeezed to those of a group of num_members:
// the slots between do not exist there, and the bit of `lost` says nothing.
ArrivalMask PatternOf(ArrivalMask arrived, int k, int r, int num_members,
                      int lost) {
  const ArrivalMask members = arrived & LowBits(num_members) & ~(1U << lost);
  const ArrivalMask parities = (arrived >> k) & LowBits(r);
  return members | (parities << num_members);
}

size_t CellOf(ArrivalMask pattern, int num_members, int lost) {
  return static_cast<size_t>(pattern) * static_cast<size_t>(num_members) +
         static_cast<size_t>(lost);
}

}  // namespace

LinearDecoder::LinearDecoder(const Matrix& answer)
    : k_(answer.num_columns()), r_(answer.num_rows()) {
  PARM_CHECK(k_ >= 1 && r_ >= 1 && k_ + r_ <= kMaxSlots);
  row_index_.resize(static_cast<size_t>(k_));
  for (int num_members = 1; num_members <= k_; ++num_members) {
    Build(FoldRoundRobin(answer, num_members), num_members);
  }
}

void LinearDecoder::Build(const Matrix& answer, int num_members) {
  const int num_slots = num_members + r_;
  const ArrivalMask num_patterns = 1U << num_slots;
  auto& index = row_index_[static_cast<size_t>(num_members - 1)];
  index.assign(CellOf(num_patterns, num_members, 0), -1);

  // Patterns that differ in outputs that are not used share a row.
  std::map<decltype(DecodeRow::weights), int32_t> known;
  for (ArrivalMask pattern = 0; pattern < num_patterns; ++pattern) {
    for (int lost = 0; lost < num_members; ++lost) {
      if (((pattern >> lost) & 1U) != 0) continue;
      const std::optional<DecodeRow> solved =
          SolveDecodeRow(answer, pattern, lost);
      if (!solved.has_value()) continue;
      const auto [place, is_new] = known.try_emplace(
          solved->weights, static_cast<int32_t>(rows_.size()));
      index[CellOf(pattern, num_members, lost)] = place->second;
      if (!is_new) continue;
      Row row{.terms = {}, .noise_gain = solved->noise_gain};
      for (int slot = 0; slot < num_slots; ++slot) {
        const double weight = solved->weights[static_cast<size_t>(slot)];
        if (weight == 0) continue;
        const int full_slot =
            slot < num_members ? slot : slot - num_members + k_;
        row.terms[static_cast<size_t>(row.num_terms++)] = {
            .slot = full_slot, .weight = static_cast<float>(weight)};
        row.used |= ArrivalMask{1} << full_slot;
      }
      rows_.push_back(row);
    }
  }
}

const LinearDecoder::Row* LinearDecoder::Find(int num_members,
                                              ArrivalMask arrived,
                                              int lost) const {
  const ArrivalMask pattern = PatternOf(arrived, k_, r_, num_members, lost);
  const int32_t row = row_index_[static_cast<size_t>(num_members - 1)]
                                [CellOf(pattern, num_members, lost)];
  return row < 0 ? nullptr : &rows_[static_cast<size_t>(row)];
}

bool LinearDecoder::Suffices(int num_members, ArrivalMask arrived,
                             int lost) const {
  if (num_members < 1 || num_members > k_) return false;
  if (lost < 0 || lost >= num_members) return false;
  return Find(num_members, arrived, lost) != nullptr;
}

absl::StatusOr<DecodeReport> LinearDecoder::Decode(
    int num_members, absl::Span<const std::optional<TensorView>> outputs,
    int lost, MutableTensorView result) const {
  PARM_RETURN_IF_ERROR(
      CheckDecodeCall(k_, r_, num_members, outputs.size(), lost, result));
  const ArrivalMask arrived = ArrivedMask(outputs);
  const Row* row = Find(num_members, arrived, lost);
  if (row == nullptr) return NotEnoughOutputs(num_members, arrived, lost);

  const std::byte* inputs[kMaxSlots];
  float weights[kMaxSlots];
  const auto num_terms = static_cast<size_t>(row->num_terms);
  for (size_t i = 0; i < num_terms; ++i) {
    const Term& term = row->terms[i];
    const TensorView& output = *outputs[static_cast<size_t>(term.slot)];
    PARM_RETURN_IF_ERROR(
        CheckOutput(output, term.slot, result.shape, result.bytes.size()));
    inputs[i] = output.bytes.data();
    weights[i] = term.weight;
  }
  const size_t count = result.bytes.size() / sizeof(float);
  WeightedSum(absl::MakeConstSpan(weights, num_terms),
              absl::MakeConstSpan(inputs, num_terms), count,
              result.bytes.data());
  // No weight is zero, so an input that is not finite leaves a result that is
  // not finite: checking the result alone reads memory once.
  if (!AllFinite(result.bytes.data(), count)) return NotFinite(lost);
  return DecodeReport{.used = row->used, .noise_gain = row->noise_gain};
}

absl::StatusOr<TensorSpec> LinearDecoder::AnswerSpec(
    const TensorSpec& member_output) const {
  PARM_RETURN_IF_ERROR(CheckOutputSpec(member_output));
  return member_output;
}

}  // namespace parm
