#pragma once

// Keeps every action of a core, by kind, for a test to look at.

#include <optional>
#include <variant>
#include <vector>

#include "base/time.h"
#include "frontend/core/action.h"

namespace parm::core {

/// An action with its spans copied out.
struct Sent {
  DispatchTask task;
  std::vector<BufferId> inputs;
};
struct Encode {
  EncodeParity action;
  std::vector<std::vector<BufferId>> members;
};
struct Decode {
  DecodeMember action;
  std::vector<BufferId> outputs;
};

class Recorder final : public ActionSink {
 public:
  void Emit(const Action& action) override {
    std::visit([this](const auto& a) { On(a); }, action);
  }

  std::vector<Sent> sent;
  std::vector<CancelTask> cancelled;
  std::vector<Encode> encodes;
  std::vector<Decode> decodes;
  std::vector<AnswerQuery> answers;
  std::vector<CompareOutputs> compared;
  std::vector<BufferId> released;
  std::vector<ProbeWorker> probes;
  std::optional<Time> wake;

 private:
  void On(const DispatchTask& a) {
    sent.push_back({a, {a.inputs.begin(), a.inputs.end()}});
  }
  void On(const CancelTask& a) { cancelled.push_back(a); }
  void On(const EncodeParity& a) {
    Encode encode{a, {}};
    for (const MemberInputs& member : a.members) {
      encode.members.emplace_back(member.inputs.begin(), member.inputs.end());
    }
    encodes.push_back(encode);
  }
  void On(const DecodeMember& a) {
    decodes.push_back({a, {a.outputs.begin(), a.outputs.end()}});
  }
  void On(const AnswerQuery& a) { answers.push_back(a); }
  void On(const CompareOutputs& a) { compared.push_back(a); }
  void On(const ReleaseBuffer& a) { released.push_back(a.buffer); }
  void On(const ProbeWorker& a) { probes.push_back(a); }
  void On(const WakeAt& a) { wake = a.time; }
};

}  // namespace parm::core
