#pragma once

// A program under test: started with pipes, waited for with a bound, and gone
// when the test is, however the test ends.

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "tests/support/scratch_directory.h"

namespace parm {

/// The path of a program of this build: $PARM_BIN/NAME, or ../bin/NAME from
/// the folder of the running test.
std::string ProgramPath(const std::string& name);

/// Threads: one.
class ChildProcess {
 public:
  static constexpr Duration kPatience = std::chrono::seconds(30);

  /// `arguments` begin with the program's path.
  explicit ChildProcess(const std::vector<std::string>& arguments);
  /// Kills it, if it still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }

  /// The next line of its stdout, without the newline; nullopt if it closes
  /// stdout or nothing comes in time.
  std::optional<std::string> ReadLine(Duration patience = kPatience);

  void Signal(int signal_number) const;

  /// Its exit status, or 128 + the signal that ended it; nullopt if it still
  /// runs after `patience`.
  std::optional<int> Wait(Duration patience = kPatience);

  /// What it wrote to stderr so far.
  std::string Stderr() const;

 private:
  ScratchDirectory scratch_;
  pid_t pid_ = -1;
  int stdout_fd_ = -1;
  std::string unread_;
  std::optional<int> status_;
};

}  // namespace parm
