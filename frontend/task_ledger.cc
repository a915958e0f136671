#include "frontend/task_ledger.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/oip/json_tensor.h"

namespace parm {
namespace {

// -1 takes any size, but rows in must be rows out.
bool ShapeFits(const std::vector<int64_t>& got,
               const std::vector<int64_t>& want, std::optional<int64_t> rows) {
  if (got.size() != want.size()) return false;
  for (size_t i = 0; i < got.size(); ++i) {
    const int64_t expected = i == 0 ? rows.value_or(want[i]) : want[i];
    if (expected >= 0 && got[i] != expected) return false;
  }
  return true;
}

// Of tasks that are gone, beside as many as there are records.
constexpr size_t kSpareEntries = 1024;

// Other datatypes have a size that the envelope's parser has checked.
bool BytesFit(const oip::Tensor& tensor) {
  const absl::StatusOr<int64_t> elements = NumElements(tensor.spec.shape);
  return elements.ok() &&
         oip::CheckBytesTensor(tensor.data.bytes(), *elements).ok();
}

}  // namespace

void TaskLedger::Add(TaskId task, const TaskRecord& record, Time keep_until) {
  records_.insert_or_assign(Raw(task), record);
  by_age_.emplace_back(keep_until, task);
  if (by_age_.size() <= 2 * records_.size() + kSpareEntries) return;
  // A task with a long deadline is in front of many that were answered.
  std::erase_if(by_age_, [this](const auto& entry) {
    return !records_.contains(Raw(entry.second));
  });
}

std::optional<TaskRecord> TaskLedger::Take(TaskId task, WorkerId worker) {
  const auto found = records_.find(Raw(task));
  if (found == records_.end() || found->second.worker != worker) {
    return std::nullopt;
  }
  const TaskRecord record = found->second;
  records_.erase(found);
  return record;
}

void TaskLedger::DropWorker(WorkerId worker) {
  std::erase_if(records_, [worker](const auto& entry) {
    return entry.second.worker == worker;
  });
}

void TaskLedger::Expire(Time now) {
  while (!by_age_.empty()) {
    const auto& [keep_until, task] = by_age_.front();
    const bool gone = records_.find(Raw(task)) == records_.end();
    if (!gone && keep_until >= now) break;
    if (!gone) records_.erase(Raw(task));
    by_age_.pop_front();
  }
}

absl::StatusOr<TensorSet> CheckOutputs(const TaskRecord& record,
                                       const CatalogBundle& bundle,
                                       std::vector<oip::Tensor> tensors) {
  const auto error = [](absl::string_view text, absl::string_view name) {
    return absl::DataLossError(absl::StrCat(
        "the worker's reply is not the model's: ", text, " '", name, "'"));
  };
  if (tensors.size() != bundle.outputs.size()) {
    return absl::DataLossError(absl::StrCat(
        "the worker's reply is not the model's: number of outputs: got ",
        tensors.size(), ", want ", bundle.outputs.size()));
  }
  TensorSet set{.rows = record.member_rows};
  for (const TensorSpec& want : bundle.outputs) {
    const auto found = std::find_if(tensors.begin(), tensors.end(),
                                    [&](const oip::Tensor& tensor) {
                                      return tensor.spec.name == want.name;
                                    });
    if (found == tensors.end()) return error("no output", want.name);
    if (found->spec.datatype != want.datatype) {
      return error("datatype of", want.name);
    }
    if (!ShapeFits(
            found->spec.shape, want.shape,
            bundle.batched ? std::optional(record.rows) : std::nullopt)) {
      return error(absl::StrCat("shape ", ShapeToString(found->spec.shape),
                                ", want ", ShapeToString(want.shape), " for ",
                                record.rows, " rows, of"),
                   want.name);
    }
    if (want.datatype == DataType::kBytes && !BytesFit(*found)) {
      return error("BYTES elements of", want.name);
    }
    set.tensors.push_back(std::move(*found));
    // Names of a checked bundle may repeat only by a broken worker.
    found->spec.name.clear();
  }
  return set;
}

}  // namespace parm
