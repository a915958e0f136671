#include "backends/local_inbox.h"

#include <utility>

namespace parm {

absl::Status LocalInbox::Push(LocalTask task) {
  const MutexLock lock(&mu_);
  if (closed_) return absl::UnavailableError("worker is draining");
  if (tasks_.size() >= max_tasks_) {
    return absl::ResourceExhaustedError("worker's queue is full");
  }
  tasks_.push_back(std::move(task));
  return absl::OkStatus();
}

std::vector<LocalTask> LocalInbox::Drain() {
  const MutexLock lock(&mu_);
  return std::exchange(tasks_, {});
}

std::vector<LocalTask> LocalInbox::Close() {
  const MutexLock lock(&mu_);
  closed_ = true;
  return std::exchange(tasks_, {});
}

}  // namespace parm
