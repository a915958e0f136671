#include "proto/machine_name.h"

#include <sys/utsname.h>

#include <fstream>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace parm {

std::string MachineName() {
  std::string model = "unknown";
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    const size_t colon = line.find(':');
    if (absl::StartsWith(line, "model name") && colon != std::string::npos) {
      model = std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
      break;
    }
  }
  utsname system{};
  const bool known = uname(&system) == 0;
  return absl::StrCat(std::thread::hardware_concurrency(), " x ", model, ", ",
                      known ? system.sysname : "unknown", " ",
                      known ? system.release : "");
}

}  // namespace parm
