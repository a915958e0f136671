#pragma once

// After something changed for a batch or a coding group: what can be decoded,
// what may be released to clients, what nobody needs any more, and when all of
// it can be forgotten. Runs once per change at the end of Handle, so that no
// record disappears under somebody's hands.

#include "encoder/code.h"
#include "frontend/core/answers.h"
#include "frontend/core/core_state.h"
#include "frontend/core/dispatcher.h"
#include "frontend/core/group_builder.h"

namespace parm::core {

/// Told what policies wait for.
class ReviewObserver {
 public:
  virtual ~ReviewObserver() = default;
  /// A parity query that was paid for will not be sent.
  virtual void OnParityUnsent(ModelId model, Duration charged) = 0;
  /// A reconstruction is held for lack of trust.
  virtual void OnDecodeHeld(const Turn& turn, Batch& batch) = 0;
};

class Reviewer {
 public:
  /// All outlive the reviewer.
  Reviewer(CoreState& state, Dispatcher& dispatcher, Answers& answers,
           ReviewObserver& observer);

  /// Looks at everything that was touched. True if there was anything.
  bool Run(const Turn& turn);

  /// The feedback horizon has passed: forgets the group as it is.
  void GiveUp(const Turn& turn, Group& group);

 private:
  /// Which outputs are here, and which are here or may still come.
  struct Arrivals {
    ArrivalMask here = 0;
    ArrivalMask possible = 0;
  };

  void ReviewBatch(const Turn& turn, Batch& batch);
  void ReviewGroup(const Turn& turn, Group& group);
  void ReviewMember(const Turn& turn, Group& group, Batch& member,
                    const Arrivals& arrivals);
  void ReleaseReconstruction(const Turn& turn, Batch& member);
  void GiveUpMember(const Turn& turn, Batch& member, bool hopeless);
  void ArmTrigger(Batch& member);
  bool DecodeIsDue(const Turn& turn, const Batch& member) const;
  void StartDecode(const Turn& turn, Group& group, Batch& member,
                   ArrivalMask here);
  void DropUnneeded(const Turn& turn, Group& group);
  void DropCopies(const Turn& turn, Batch& member);
  void DropParity(const Turn& turn, Parity& parity);
  void Refund(Parity& parity);
  bool AwaitsOriginal(const Group& group) const;
  void ArmRelease(const Turn& turn, Group& group);
  void Linger(const Turn& turn, Group& group);
  void FreeGroup(const Turn& turn, Group& group);
  void FreeBatch(const Turn& turn, Batch& batch);
  void OrphanTask(const Turn& turn, Task& task);
  const Code& CodeOf(const Group& group) const {
    return *state_.unit(group.key).code;
  }
  Arrivals ArrivalsOf(const Group& group) const;

  CoreState& state_;
  Dispatcher& dispatcher_;
  Answers& answers_;
  ReviewObserver& observer_;
};

}  // namespace parm::core
