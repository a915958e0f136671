#pragma once

// Gathers batches into coding groups as they are dispatched, those of one
// (model, deployed bundle, code, signature, batch size) together, and asks for
// the parity queries when a group closes: by its k-th member or by its timer.
// No member ever waits here; a group works with what was sent already. So when
// the only worker with a slot holds a member already, the batch goes there all
// the same, but into a younger group.

#include <vector>

#include "absl/functional/function_ref.h"
#include "frontend/core/core_state.h"

namespace parm::core {

class GroupBuilder {
 public:
  /// `state` outlives the builder.
  explicit GroupBuilder(CoreState& state);

  /// Open groups of one layout. Once there are so many, and none suits, a batch
  /// joins the oldest.
  static constexpr int kMaxOpenPerLayout = 4;

  /// The oldest open group that this batch could join; nullptr if none is open.
  Group* Find(const Batch& batch);

  /// Adds a batch that was just sent to the oldest open group that suits it.
  /// nullptr if the table of groups is full: the batch stays unprotected.
  /// Needs: the batch has no group. The caller closes a group that is full.
  Group* Join(const Turn& turn, Batch& batch,
              absl::FunctionRef<bool(const Group&)> suits);

  static bool IsFull(const CoreState& state, const Group& group);

  /// Whether a query waits that a decode may answer.
  static bool NeedsParity(const Group& group);

  /// The group takes no more members.
  void Close(Group& group);

  /// Asks for every parity query of a closed group.
  void Encode(const Turn& turn, Group& group, uint8_t priority);

  /// Lets the members of a closed group go on alone, and frees it.
  void Dissolve(Group& group);

  size_t num_open() const { return num_open_; }

 private:
  static LayoutKey KeyOf(const Batch& batch);
  Group* Open(const Turn& turn, const Batch& batch, Group* youngest);

  CoreState& state_;
  FixedMap<LayoutKey, Group*> open_;  // the oldest; it names the younger ones
  size_t num_open_ = 0;
  std::vector<MemberInputs> members_;  // of the group being encoded
  std::vector<BufferId> inputs_;
};

}  // namespace parm::core
