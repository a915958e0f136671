#pragma once

// Policy `replicate`: every batch goes to two workers at once, the second copy
// at the redundant priority; the first answer wins. The other copy is withdrawn
// when that comes, or already when a worker has begun with one of them.
// docs/policies/replicate.md has the mathematics and when it loses.

#include "frontend/core/policies/redundancy_policy.h"

namespace parm::core {

class ReplicatePolicy final : public RedundancyPolicy {
 public:
  explicit ReplicatePolicy(const ModelOptions& model)
      : cancels_(model.replicate_cancels),
        observe_(model.mode == PolicyMode::kObserve) {}

  void OnFirstDispatch(const Turn& turn, Batch& batch,
                       PolicyHost& host) override;
  void OnStarted(const Turn& turn, Batch& batch, const Task& task,
                 PolicyHost& host) override;
  void OnCopyFailed(const Turn& turn, Batch& batch, AttemptType attempt,
                    PolicyHost& host) override;

 private:
  const CancelLoser cancels_;
  const bool observe_;
};

}  // namespace parm::core
