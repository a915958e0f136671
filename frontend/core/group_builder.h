#pragma once

// Gathers batches into coding groups as they are dispatched, one open group per
// (model, deployed bundle, code, signature, batch size), and asks for the
// parity queries when a group closes: by its k-th member or by its timer. No
// member ever waits here; a group works with what was sent already.

#include <vector>

#include "frontend/core/core_state.h"

namespace parm::core {

class GroupBuilder {
 public:
  /// `state` outlives the builder.
  explicit GroupBuilder(CoreState& state);

  /// The open group that this batch would join; nullptr if none is open.
  Group* Find(const Batch& batch);

  /// Adds a batch that was just sent. nullptr if the table of groups is full:
  /// the batch stays unprotected.
  /// Needs: the batch has no group. The caller closes a group that is full.
  Group* Join(const Turn& turn, Batch& batch);

  static bool IsFull(const CoreState& state, const Group& group);

  /// The group takes no more members.
  void Close(Group& group);

  /// Asks for every parity query of a closed group.
  void Encode(const Turn& turn, Group& group, uint8_t priority);

  /// Lets the members of a closed group go on alone, and frees it.
  void Dissolve(Group& group);

  size_t num_open() const { return open_.size(); }

 private:
  static LayoutKey KeyOf(const Batch& batch);

  CoreState& state_;
  FixedMap<LayoutKey, Group*> open_;
  std::vector<MemberInputs> members_;  // of the group being encoded
  std::vector<BufferId> inputs_;
};

}  // namespace parm::core
