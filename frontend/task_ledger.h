#pragma once

// What each task in flight was, so that its reply can be held against it: a
// worker is outside input. The frontend loop adds at dispatch and takes at the
// terminal reply; what is never answered leaves by age.

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "base/time.h"
#include "frontend/buffer_table.h"
#include "frontend/model_catalog.h"
#include "frontend/upstream/upstream_listener.h"

namespace parm {

struct TaskRecord {
  WorkerId worker{};
  BundleKey bundle{};
  int64_t rows = 0;         // dimension 0 of the inputs that were sent
  int64_t member_rows = 0;  // TensorSet::rows of its answer
};

/// Bound:   the tasks that the core dispatched within their keeping time.
/// Threads: the loop's only.
class TaskLedger {
 public:
  void Add(TaskId task, const TaskRecord& record, Time keep_until);

  /// Removes and returns it; nullopt if it is unknown or another worker's.
  std::optional<TaskRecord> Take(TaskId task, WorkerId worker);

  void DropWorker(WorkerId worker);
  /// Forgets tasks that were to be kept until before `now`.
  void Expire(Time now);

  size_t size() const { return records_.size(); }
  /// At most 2 x size() + 1024 after Add: tasks that were answered leave later.
  size_t num_aging() const { return by_age_.size(); }

 private:
  std::unordered_map<uint64_t, TaskRecord> records_;
  std::deque<std::pair<Time, TaskId>> by_age_;
};

/// The outputs of a successful reply, in the model's order.
/// Errors: kDataLoss naming the output if number, names, datatypes or shapes
/// are not what the bundle answers to that many rows.
absl::StatusOr<TensorSet> CheckOutputs(const TaskRecord& record,
                                       const CatalogBundle& bundle,
                                       std::vector<oip::Tensor> tensors);

}  // namespace parm
