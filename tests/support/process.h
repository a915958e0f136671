#pragma once

// A program that a test starts, watches and always ends: by its process id,
// in the destructor at the latest, and by the kernel should the test itself
// die.

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace parm {

/// The path of one of our programs: $PARM_BIN/name, which CTest sets.
std::string ProgramPath(const std::string& name);

/// Threads: one.
class Process {
 public:
  /// How long anything may take, on a machine busy with other things, before a
  /// test gives up.
  static constexpr std::chrono::seconds kPatience{180};

  /// Starts `arguments[0]` with standard error into the file `log_path`.
  /// Errors: kUnavailable if it cannot be started.
  static absl::StatusOr<std::unique_ptr<Process>> Start(
      const std::vector<std::string>& arguments, const std::string& log_path);
  /// SIGKILL, unless it has ended; then reaps it.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// The first line of standard output that begins with `prefix`.
  /// Errors: kUnavailable with the log if the output ends before;
  /// kDeadlineExceeded after kPatience.
  absl::StatusOr<std::string> WaitForLine(const std::string& prefix);

  void Signal(int signal);

  /// Waits for its end: the exit status, or minus the signal that ended it.
  /// Errors: kDeadlineExceeded after kPatience.
  absl::StatusOr<int> Wait();

  /// What it wrote to standard error so far.
  std::string Log() const;

 private:
  Process(pid_t pid, int output, std::string log_path);

  const pid_t pid_;
  const int output_;  // read end of its standard output
  const std::string log_path_;
  std::string unread_;  // output taken but not yet returned
  std::optional<int> ended_;
};

/// The part of "... name=VALUE ..." of a ready line; empty if it is not there.
std::string FieldOf(const std::string& line, const std::string& name);

}  // namespace parm
