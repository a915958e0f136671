#include "frontend/core/reviewer.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"

namespace parm::core {

namespace {

ArrivalMask Bit(size_t slot) { return ArrivalMask{1} << slot; }

// Whether the batch's own answer may still come from a worker.
bool ExactMayCome(const Batch& batch) {
  return batch.num_copies > 0 || batch.waiting;
}

// Queries wait that a decode may answer, and none is here or under way.
bool NeedsDecode(const Batch& member) {
  return member.num_decodable > 0 && member.decode != DecodeStage::kDone &&
         member.decode != DecodeStage::kRunning;
}

absl::Span<Batch* const> MembersOf(const Group& group) {
  return absl::MakeConstSpan(group.members).first(group.num_members);
}

}  // namespace

Reviewer::Reviewer(CoreState& state, Dispatcher& dispatcher, Answers& answers,
                   ReviewObserver& observer)
    : state_(state),
      dispatcher_(dispatcher),
      answers_(answers),
      observer_(observer) {}

bool Reviewer::Run(const Turn& turn) {
  bool any = false;
  for (;; any = true) {
    if (Batch* const batch = state_.touched_batches.PopFront()) {
      if (batch->group == nullptr) {
        ReviewBatch(turn, *batch);
      } else {
        state_.Touch(*batch->group);
      }
    } else if (Group* const group = state_.touched_groups.PopFront()) {
      ReviewGroup(turn, *group);
    } else {
      return any;
    }
  }
}

void Reviewer::ReviewBatch(const Turn& turn, Batch& batch) {
  if (batch.num_open > 0) {
    if (ExactMayCome(batch) || batch.expired) return;
    GiveUpMember(turn, batch, /*hopeless=*/true);
  }
  FreeBatch(turn, batch);
}

Reviewer::Arrivals Reviewer::ArrivalsOf(const Group& group) const {
  Arrivals arrivals;
  for (size_t i = 0; i < group.num_members; ++i) {
    const Batch& member = *group.members[i];
    const bool here = member.output != BufferId{} && member.output_decodable;
    if (here) arrivals.here |= Bit(i);
    if (here || (!member.got_output && ExactMayCome(member))) {
      arrivals.possible |= Bit(i);
    }
  }
  const auto k = static_cast<size_t>(CodeOf(group).spec().k);
  for (size_t i = 0; i < group.num_parities; ++i) {
    const Parity& parity = group.parities[i];
    if (parity.output != BufferId{} && parity.output_decodable) {
      arrivals.here |= Bit(k + i);
      arrivals.possible |= Bit(k + i);
    } else if (parity.stage == ParityStage::kEncoding ||
               parity.stage == ParityStage::kWaiting ||
               parity.stage == ParityStage::kSent) {
      arrivals.possible |= Bit(k + i);
    }
  }
  return arrivals;
}

void Reviewer::ReviewGroup(const Turn& turn, Group& group) {
  const Arrivals arrivals = ArrivalsOf(group);
  bool someone_waits = false;
  for (Batch* const member : MembersOf(group)) {
    if (member->num_open > 0) ReviewMember(turn, group, *member, arrivals);
    someone_waits |= member->num_open > 0;
    // A retry in line serves its own queries only.
    if (member->num_open == 0 && member->waiting) dispatcher_.Withdraw(*member);
  }
  if (group.open) return;
  DropUnneeded(turn, group);
  if (someone_waits) return;
  if (group.encodes_running > 0 || group.decodes_running > 0) {
    ArmRelease(turn, group);
  } else if (AwaitsOriginal(group)) {
    ArmRelease(turn, group);
    Linger(turn, group);
  } else {
    FreeGroup(turn, group);
  }
}

void Reviewer::ReviewMember(const Turn& turn, Group& group, Batch& member,
                            const Arrivals& arrivals) {
  const Code& code = CodeOf(group);
  const int lost = member.member;
  if (NeedsDecode(member) && !group.open &&
      member.decode_mask != arrivals.here &&
      code.Suffices(group.num_members, arrivals.here, lost)) {
    if (DecodeIsDue(turn, member)) {
      StartDecode(turn, group, member, arrivals.here);
    } else {
      ArmTrigger(member);
    }
  }
  if (member.decode == DecodeStage::kDone) ReleaseReconstruction(turn, member);
  if (member.num_open == 0 || ExactMayCome(member) || member.expired) return;
  const bool observed =
      state_.model_options(member.model).mode == PolicyMode::kObserve;
  // A refused decode is tried again only if more outputs may come.
  const ArrivalMask spent =
      member.decode == DecodeStage::kRefused ? member.decode_mask : 0;
  const bool hope =
      !observed &&
      (group.open || member.decode == DecodeStage::kRunning ||
       (NeedsDecode(member) && arrivals.possible != spent &&
        code.Suffices(group.num_members, arrivals.possible, lost)));
  GiveUpMember(turn, member, !hope);
}

bool Reviewer::DecodeIsDue(const Turn& turn, const Batch& member) const {
  for (const Query* query = FirstQuery(member); query != nullptr;
       query = NextQuery(*query)) {
    if (!query->open || query->mode == AnswerMode::kExact) continue;
    if (query->mode == AnswerMode::kFast || turn.now >= member.trigger ||
        !ExactMayCome(member)) {
      return true;
    }
  }
  return false;
}

void Reviewer::ArmTrigger(Batch& member) {
  if (member.timer != TimerHandle{}) return;
  state_.timers.Arm(&member.timer, member.trigger, TimerKind::kDecodeTrigger,
                    Slab<Batch>::IndexOf(member));
}

void Reviewer::StartDecode(const Turn& turn, Group& group, Batch& member,
                           ArrivalMask here) {
  std::array<BufferId, kMaxMembers + kMaxParities> outputs{};
  const CodeSpec& spec = CodeOf(group).spec();
  for (size_t i = 0; i < group.num_members; ++i) {
    if ((here & Bit(i)) != 0) outputs[i] = group.members[i]->output;
  }
  for (size_t i = 0; i < group.num_parities; ++i) {
    const size_t slot = static_cast<size_t>(spec.k) + i;
    if ((here & Bit(slot)) != 0) outputs[slot] = group.parities[i].output;
  }
  member.decode = DecodeStage::kRunning;
  member.decode_mask = here;
  ++group.decodes_running;
  turn.out.Emit(DecodeMember{.group = GroupId{group.slab_id},
                             .model = group.key.model,
                             .unit = group.key.unit,
                             .member = member.member,
                             .num_members = group.num_members,
                             .deployed = group.key.deployed,
                             .outputs = absl::MakeConstSpan(outputs).first(
                                 static_cast<size_t>(spec.k + spec.r))});
}

void Reviewer::ReleaseReconstruction(const Turn& turn, Batch& member) {
  const ModelOptions& model = state_.model_options(member.model);
  const bool observe = model.mode == PolicyMode::kObserve;
  const std::optional<float>& needed = model.decode.min_confidence;
  const bool closed = state_.gates[Raw(member.model)].closed();
  const bool confident =
      !closed &&
      (!needed || (member.confidence && *member.confidence >= *needed));
  const bool better_may_come = ExactMayCome(member);
  bool held = false;
  for (Query* query = FirstQuery(member); query != nullptr;
       query = NextQuery(*query)) {
    if (!query->open || query->mode == AnswerMode::kExact) continue;
    const bool fast = query->mode == AnswerMode::kFast;
    if (!fast && better_may_come) {
      if (turn.now < member.trigger) {
        ArmTrigger(member);
        continue;
      }
      if (!confident) {
        held = true;
        continue;
      }
    }
    if (closed) continue;
    if (observe) {
      if (!query->observed) {
        state_.Mark(RarePath::kObserved);
        ++state_.model_counters(member.model).observed_reconstructions;
      }
      query->observed = true;
      continue;
    }
    if (!answers_.MayReconstruct(*query)) {
      state_.Mark(RarePath::kBelowFloor);
      continue;
    }
    state_.Mark(fast              ? RarePath::kReconstructedFast
                : better_may_come ? RarePath::kReconstructedAtTrigger
                                  : RarePath::kReconstructedForLackOfBetter);
    answers_.AnswerReconstructed(turn, *query);
  }
  if (held && !member.held_counted) {
    member.held_counted = true;
    state_.Mark(RarePath::kReconstructionHeld);
    ++state_.model_counters(member.model).decodes_held;
    observer_.OnDecodeHeld(turn, member);
  }
}

// No copy of its own will answer: exact-only queries have nothing to wait for,
// the others no more than the group can give.
void Reviewer::GiveUpMember(const Turn& turn, Batch& member, bool hopeless) {
  for (Query* query = FirstQuery(member); query != nullptr;
       query = NextQuery(*query)) {
    if (!query->open) continue;
    if (hopeless || query->mode == AnswerMode::kExact) {
      answers_.GiveUp(turn, *query, AnswerError::kBackend);
    }
  }
}

void Reviewer::DropUnneeded(const Turn& turn, Group& group) {
  const auto members = MembersOf(group);
  const auto waiting_for_decode =
      std::count_if(members.begin(), members.end(),
                    [](const Batch* member) { return NeedsDecode(*member); });
  const bool siblings_matter = !CodeOf(group).multi_output();
  for (Batch* const member : members) {
    const bool sibling_waits =
        siblings_matter &&
        waiting_for_decode - (NeedsDecode(*member) ? 1 : 0) > 0;
    if (member->num_open > 0) continue;
    if (group.encodes_running == 0) answers_.ReleaseInputs(turn, *member);
    if (member->got_output || !sibling_waits) DropCopies(turn, *member);
    if (!sibling_waits && group.decodes_running == 0) {
      CoreState::Release(turn, &member->output);
    }
  }
  for (size_t i = 0; i < group.num_parities; ++i) {
    Parity& parity = group.parities[i];
    if (waiting_for_decode == 0) DropParity(turn, parity);
    if (parity.stage == ParityStage::kGone) Refund(parity);
    if (parity.stage == ParityStage::kGone ||
        parity.stage == ParityStage::kArrived) {
      state_.buffered_bytes -= parity.bytes;
      parity.bytes = 0;
      CoreState::Release(turn, &parity.query);
    }
    if (waiting_for_decode == 0 && group.decodes_running == 0) {
      CoreState::Release(turn, &parity.output);
    }
  }
}

// Cancels what is still out for a member whose output nobody needs. Originals
// of a reconstructed member are waited for all the same, as they tell how good
// the decode was, and some are left to finish for that.
void Reviewer::DropCopies(const Turn& turn, Batch& member) {
  const bool for_the_ledger =
      member.decoded != BufferId{} && !member.got_output;
  for (size_t i = member.num_copies; i-- > 0;) {
    Task& task = *member.copies[i];
    if (for_the_ledger) {
      if (task.cancelled || task.left_to_finish) continue;
      if (state_.Random() < state_.options.loser_sample_rate) {
        state_.Mark(RarePath::kLoserLeftToFinish);
        task.left_to_finish = true;
        continue;
      }
      state_.Mark(RarePath::kOriginalCancelled);
      dispatcher_.Cancel(turn, task);
    } else {
      OrphanTask(turn, task);
    }
  }
}

void Reviewer::OrphanTask(const Turn& turn, Task& task) {
  dispatcher_.Cancel(turn, task);
  dispatcher_.Orphan(task);
  if (!task.holds_slot) {
    dispatcher_.End(turn, task, Dispatcher::Outcome::kNoAnswer);
  }
}

void Reviewer::DropParity(const Turn& turn, Parity& parity) {
  if (parity.stage == ParityStage::kWaiting) {
    dispatcher_.Withdraw(parity);
    state_.Mark(RarePath::kParityUnplaced);
    ++state_.model_counters(parity.group->key.model).groups_parity_unplaced;
  } else if (parity.stage == ParityStage::kSent) {
    state_.Mark(RarePath::kParityCancelled);
    OrphanTask(turn, *parity.task);
    parity.stage = ParityStage::kGone;
  }
}

void Reviewer::Refund(Parity& parity) {
  if (parity.charged == Duration{0}) return;
  observer_.OnParityUnsent(parity.group->key.model,
                           std::exchange(parity.charged, Duration{0}));
}

bool Reviewer::AwaitsOriginal(const Group& group) const {
  const auto members = MembersOf(group);
  return std::any_of(members.begin(), members.end(), [](const Batch* member) {
    return member->decoded != BufferId{} && member->num_copies > 0;
  });
}

void Reviewer::ArmRelease(const Turn& turn, Group& group) {
  if (group.timer != TimerHandle{}) return;
  state_.timers.Arm(
      &group.timer,
      std::max(turn.now, group.deadline + state_.options.feedback_horizon),
      TimerKind::kGroupRelease, Slab<Group>::IndexOf(group));
}

void Reviewer::Linger(const Turn& turn, Group& group) {
  if (group.lingering.linked) return;
  state_.Mark(RarePath::kGroupLingered);
  state_.lingering_groups.PushBack(group);
  if (state_.lingering_groups.size() > state_.options.ledger_room) {
    state_.Mark(RarePath::kLingererEvicted);
    FreeGroup(turn, *state_.lingering_groups.front());
  }
}

void Reviewer::GiveUp(const Turn& turn, Group& group) {
  FreeGroup(turn, group);
}

void Reviewer::FreeGroup(const Turn& turn, Group& group) {
  for (Batch* const member : MembersOf(group)) {
    member->group = nullptr;
    FreeBatch(turn, *member);
  }
  for (size_t i = 0; i < group.num_parities; ++i) {
    Parity& parity = group.parities[i];
    DropParity(turn, parity);
    Refund(parity);
    state_.buffered_bytes -= parity.bytes;
    CoreState::Release(turn, &parity.query);
    CoreState::Release(turn, &parity.output);
  }
  if (group.lingering.linked) state_.lingering_groups.Remove(group);
  if (group.touched.linked) state_.touched_groups.Remove(group);
  state_.timers.Disarm(&group.timer);
  state_.groups.Free(&group);
}

void Reviewer::FreeBatch(const Turn& turn, Batch& batch) {
  PARM_CHECK(batch.num_open == 0 && batch.group == nullptr);
  if (!batch.got_output && !batch.late_counted && turn.now > batch.trigger) {
    state_.model_counters(batch.model).late_originals += batch.num_queries;
  }
  if (batch.waiting) dispatcher_.Withdraw(batch);
  while (batch.num_copies > 0) {
    OrphanTask(turn, *batch.copies[batch.num_copies - 1U]);
  }
  answers_.ReleaseInputs(turn, batch);
  CoreState::Release(turn, &batch.output);
  CoreState::Release(turn, &batch.decoded);
  if (batch.touched.linked) state_.touched_batches.Remove(batch);
  state_.timers.Disarm(&batch.timer);
  state_.timers.Disarm(&batch.policy_timer);
  state_.batches.Free(&batch);
}

}  // namespace parm::core
