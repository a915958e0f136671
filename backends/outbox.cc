#include "backends/outbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace parm {

absl::StatusOr<std::unique_ptr<Outbox>> Outbox::Create() {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot make an eventfd: ", std::strerror(errno)));
  }
  return std::unique_ptr<Outbox>(new Outbox(fd));
}

Outbox::~Outbox() { close(wake_fd_); }

void Outbox::Post(LaneEvent event) {
  bool was_empty = false;
  {
    MutexLock lock(&mu_);
    was_empty = events_.empty();
    events_.push_back(std::move(event));
  }
  // Later posts find events that the loop has been woken for already.
  if (was_empty) Wake();
}

void Outbox::Wake() const {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the loop is awake anyway.
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
}

void Outbox::Drain(std::vector<LaneEvent>* events) {
  events->clear();
  // Before the swap: an event that is posted after it wakes the loop again.
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(wake_fd_, &count, sizeof(count));
  MutexLock lock(&mu_);
  events_.swap(*events);
}

}  // namespace parm
