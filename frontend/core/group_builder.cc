#include "frontend/core/group_builder.h"

#include <algorithm>

#include "base/status_macros.h"

namespace parm::core {

GroupBuilder::GroupBuilder(CoreState& state)
    : state_(state), open_(state.groups.capacity()) {
  members_.reserve(kMaxMembers);
  inputs_.reserve(state.queries.capacity());
}

LayoutKey GroupBuilder::KeyOf(const Batch& batch) {
  return {.model = batch.model,
          .deployed = batch.deployed,
          .signature = batch.signature,
          .samples = batch.samples,
          .unit = batch.unit};
}

Group* GroupBuilder::Find(const Batch& batch) {
  Group* const* const found = open_.Find(KeyOf(batch));
  return found == nullptr ? nullptr : *found;
}

Group* GroupBuilder::Join(const Turn& turn, Batch& batch,
                          absl::FunctionRef<bool(const Group&)> suits) {
  PARM_CHECK(batch.group == nullptr);
  Group* const oldest = Find(batch);
  Group* youngest = nullptr;
  Group* group = oldest;
  int num_open = 0;
  for (; group != nullptr && !suits(*group); group = group->younger) {
    youngest = group;
    ++num_open;
  }
  if (group == nullptr && num_open < kMaxOpenPerLayout) {
    group = Open(turn, batch, youngest);
  }
  if (group == nullptr) group = oldest;
  if (group == nullptr) return nullptr;
  if (oldest != nullptr && group != oldest) {
    state_.Mark(RarePath::kGroupKeptApart);
  }
  batch.group = group;
  batch.member = group->num_members;
  group->members[group->num_members++] = &batch;
  group->deadline = std::max(group->deadline, batch.deadline);
  return group;
}

Group* GroupBuilder::Open(const Turn& turn, const Batch& batch,
                          Group* youngest) {
  Group* const group = state_.groups.Allocate();
  if (group == nullptr) return nullptr;
  group->key = KeyOf(batch);
  group->query_number = batch.query_number;
  if (youngest == nullptr) {
    open_.Insert(group->key, group);
  } else {
    youngest->younger = group;
  }
  ++num_open_;
  state_.timers.Arm(&group->timer,
                    turn.now + state_.model_options(batch.model).group_timeout,
                    TimerKind::kGroupTimeout, Slab<Group>::IndexOf(*group));
  return group;
}

bool GroupBuilder::IsFull(const CoreState& state, const Group& group) {
  return group.num_members == state.unit(group.key).code->spec().k;
}

bool GroupBuilder::NeedsParity(const Group& group) {
  return std::any_of(
      group.members.begin(), group.members.begin() + group.num_members,
      [](const Batch* member) { return member->num_decodable > 0; });
}

void GroupBuilder::Close(Group& group) {
  Group* const* const found = open_.Find(group.key);
  PARM_CHECK(found != nullptr);
  Group* const oldest = *found;
  if (oldest == &group) {
    open_.Erase(group.key);
    if (group.younger != nullptr) open_.Insert(group.key, group.younger);
  } else {
    Group* older = oldest;
    while (older->younger != &group) older = older->younger;
    older->younger = group.younger;
  }
  group.younger = nullptr;
  --num_open_;
  state_.timers.Disarm(&group.timer);
  group.open = false;
}

void GroupBuilder::Encode(const Turn& turn, Group& group, uint8_t priority) {
  // Spans of inputs_ stay valid: it was reserved for every query there is.
  members_.clear();
  inputs_.clear();
  for (size_t i = 0; i < group.num_members; ++i) {
    const size_t first = inputs_.size();
    const auto& queries = group.members[i]->queries;
    for (const Query* query = queries.front(); query != nullptr;
         query = IntrusiveList<Query, &Query::in_batch>::Next(*query)) {
      inputs_.push_back(query->input);
    }
    members_.push_back({absl::MakeConstSpan(inputs_).subspan(first)});
  }
  const CodeSpec& spec = state_.unit(group.key).code->spec();
  group.num_parities = static_cast<uint8_t>(spec.r);
  for (uint8_t i = 0; i < group.num_parities; ++i) {
    Parity& parity = group.parities[i];
    parity.group = &group;
    parity.index = i;
    parity.priority = priority;
    parity.stage = ParityStage::kEncoding;
    ++group.encodes_running;
    turn.out.Emit(EncodeParity{.group = GroupId{group.slab_id},
                               .model = group.key.model,
                               .unit = group.key.unit,
                               .parity_index = i,
                               .members = members_});
  }
}

void GroupBuilder::Dissolve(Group& group) {
  for (size_t i = 0; i < group.num_members; ++i) {
    Batch& member = *group.members[i];
    member.group = nullptr;
    state_.Touch(member);
  }
  if (group.touched.linked) state_.touched_groups.Remove(group);
  state_.groups.Free(&group);
}

}  // namespace parm::core
