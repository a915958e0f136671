#include "experiments/load/process_usage.h"

#include <sys/types.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace parm {

absl::StatusOr<ProcessUsage> ReadProcessUsage(int64_t process_id) {
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  // Not the sum over /proc/PID/task: threads that have ended are not there.
  clockid_t clock{};
  timespec on_cpu{};
  if (!(std::ifstream(absl::StrCat("/proc/", process_id, "/statm")) >>
        total_pages >> resident_pages) ||
      clock_getcpuclockid(static_cast<pid_t>(process_id), &clock) != 0 ||
      clock_gettime(clock, &on_cpu) != 0) {
    return absl::NotFoundError(
        absl::StrCat("no such process: got ", process_id));
  }
  return ProcessUsage{.cpu = std::chrono::seconds(on_cpu.tv_sec) +
                             std::chrono::nanoseconds(on_cpu.tv_nsec),
                      .resident_bytes = resident_pages * sysconf(_SC_PAGESIZE)};
}

}  // namespace parm
