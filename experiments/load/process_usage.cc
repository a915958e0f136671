#include "experiments/load/process_usage.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace parm {

absl::StatusOr<ProcessUsage> ReadProcessUsage(int64_t process_id) {
  const std::string directory = absl::StrCat("/proc/", process_id);
  ProcessUsage usage;
  std::error_code error;
  for (std::filesystem::directory_iterator thread(directory + "/task", error),
       end;
       !error && thread != end; thread.increment(error)) {
    // Unlike `stat`, whose ticks are 10 ms: run time in nanoseconds, first.
    int64_t on_cpu_ns = 0;
    std::ifstream(thread->path() / "schedstat") >> on_cpu_ns;
    usage.cpu += Duration(on_cpu_ns);
  }
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  if (!(std::ifstream(directory + "/statm") >> total_pages >> resident_pages)) {
    return absl::NotFoundError(
        absl::StrCat("no such process: got ", process_id));
  }
  usage.resident_bytes = resident_pages * sysconf(_SC_PAGESIZE);
  return usage;
}

}  // namespace parm
