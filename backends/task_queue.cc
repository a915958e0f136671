#include "backends/task_queue.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"

namespace parm {
namespace {

uint64_t BytesOf(const Task& task) {
  uint64_t bytes = 0;
  for (const ModelTensor& input : task.inputs) bytes += input.bytes.size();
  return bytes;
}

}  // namespace

std::optional<Task> TaskQueue::Push(Task task) {
  std::optional<Task> displaced;
  {
    MutexLock lock(&mu_);
    PARM_CHECK(task.priority < kNumPriorities);
    if (closed_) return task;
    if (size_ > 0 && bytes_ + BytesOf(task) > max_bytes_) return task;
    if (size_ >= max_tasks_) {
      displaced = MakeRoom(task);
      if (!displaced.has_value()) return task;
    }
    Level& level = levels_[task.priority];
    AddTo(&level, std::move(task));
  }
  not_empty_.Signal();
  return displaced;
}

std::optional<Task> TaskQueue::Pop() {
  MutexLock lock(&mu_);
  while (!closed_) {
    for (Level& level : levels_) {
      if (level.turns.empty()) continue;
      const PeerId peer = level.turns.front();
      level.turns.pop_front();
      level.turns.push_back(peer);
      return TakeAt(&level, peer, 0);
    }
    not_empty_.Wait(&mu_);
  }
  return std::nullopt;
}

std::optional<Task> TaskQueue::Withdraw(TaskKey key) {
  MutexLock lock(&mu_);
  for (Level& level : levels_) {
    const auto found = level.peers.find(key.peer);
    if (found == level.peers.end()) continue;
    const PeerTasks& tasks = found->second;
    for (size_t i = 0; i < tasks.size(); ++i) {
      if (tasks[i].key == key) return TakeAt(&level, key.peer, i);
    }
  }
  return std::nullopt;
}

std::vector<Task> TaskQueue::WithdrawPeer(PeerId peer) {
  std::vector<Task> withdrawn;
  MutexLock lock(&mu_);
  for (Level& level : levels_) {
    while (level.peers.contains(peer)) {
      withdrawn.push_back(TakeAt(&level, peer, 0));
    }
  }
  return withdrawn;
}

TaskQueue::Expired TaskQueue::TakeExpired(Time now) {
  Expired expired;
  MutexLock lock(&mu_);
  for (Level& level : levels_) {
    const std::vector<PeerId> peers(level.turns.begin(), level.turns.end());
    for (const PeerId peer : peers) {
      size_t i = 0;
      // TakeAt removes the peer with its last task.
      for (auto found = level.peers.find(peer);
           found != level.peers.end() && i < found->second.size();
           found = level.peers.find(peer)) {
        const Time expires = found->second[i].expires;
        if (expires <= now) {
          expired.tasks.push_back(TakeAt(&level, peer, i));
        } else {
          expired.next_expiry = std::min(expired.next_expiry, expires);
          ++i;
        }
      }
    }
  }
  return expired;
}

void TaskQueue::Close() {
  MutexLock lock(&mu_);
  closed_ = true;
  for (Level& level : levels_) level = {};
  size_ = 0;
  bytes_ = 0;
  not_empty_.SignalAll();
}

size_t TaskQueue::size() const {
  MutexLock lock(&mu_);
  return size_;
}

void TaskQueue::AddTo(Level* level, Task task) {
  const PeerId peer = task.key.peer;
  PeerTasks& tasks = level->peers[peer];
  if (tasks.empty()) level->turns.push_back(peer);
  bytes_ += BytesOf(task);
  tasks.push_back(std::move(task));
  ++size_;
}

Task TaskQueue::TakeAt(Level* level, PeerId peer, size_t index) {
  const auto found = level->peers.find(peer);
  PeerTasks& tasks = found->second;
  Task task = std::move(tasks[index]);
  tasks.erase(tasks.begin() + static_cast<std::ptrdiff_t>(index));
  --size_;
  bytes_ -= BytesOf(task);
  if (tasks.empty()) {
    level->peers.erase(found);
    level->turns.erase(
        std::find(level->turns.begin(), level->turns.end(), peer));
  }
  return task;
}

std::optional<PeerId> TaskQueue::FullestPeer(const Level& level) const {
  std::optional<PeerId> fullest;
  size_t most = 0;
  for (const PeerId peer : level.turns) {  // in turn order: repeatable
    const size_t count = level.peers.at(peer).size();
    if (count > most) {
      most = count;
      fullest = peer;
    }
  }
  return fullest;
}

std::optional<Task> TaskQueue::MakeRoom(const Task& task) {
  for (size_t i = kNumPriorities; i-- > task.priority;) {
    Level& level = levels_[i];
    const std::optional<PeerId> fullest = FullestPeer(level);
    if (!fullest.has_value()) continue;
    const size_t most = level.peers.at(*fullest).size();
    const auto own = level.peers.find(task.key.peer);
    const size_t own_count = own == level.peers.end() ? 0 : own->second.size();
    // Within its own priority a task takes a place only from a frontend that
    // would still hold no fewer than this one does.
    if (i > task.priority || most > own_count + 1) {
      return TakeAt(&level, *fullest, most - 1);
    }
  }
  return std::nullopt;
}

}  // namespace parm
