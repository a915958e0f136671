#pragma once

// parm-train as a child process, for tests of what only a process shows: exit
// statuses, signals, several at once.

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {

inline constexpr int kPipeBytes = 4096;

/// One run of parm-train; what it writes comes through one pipe that holds a
/// page, so that a run with more to say cannot end before it is read.
class Program {
 public:
  /// `environment`: "NAME=value", before what the test itself has.
  explicit Program(std::vector<std::string> arguments,
                   std::vector<std::string> environment = {}) {
    const char* const folder = std::getenv("PARM_BIN");
    PARM_CHECK(folder != nullptr);
    const std::string path = absl::StrCat(folder, "/parm-train");
    arguments.insert(arguments.begin(), path);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    std::vector<char*> envp;
    for (std::string& variable : environment) envp.push_back(variable.data());
    for (char** variable = environ; *variable != nullptr; ++variable) {
      envp.push_back(*variable);
    }
    envp.push_back(nullptr);
    int ends[2];
    // Else a program started later would hold this one's pipe open.
    PARM_CHECK(pipe2(ends, O_CLOEXEC) == 0);
    PARM_CHECK(fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes) == kPipeBytes);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    PARM_CHECK(posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv.data(),
                           envp.data()) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    output_fd_ = ends[0];
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (!waited_) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(output_fd_);
  }

  /// Reads until the output holds `text` or ends, not a byte further; whether
  /// it does.
  bool ReadUntil(const std::string& text) {
    while (output_.find(text) == std::string::npos) {
      char byte = 0;
      if (read(output_fd_, &byte, 1) != 1) return false;
      output_.push_back(byte);
    }
    return true;
  }

  void Interrupt() const { kill(pid_, SIGINT); }
  void Kill() const { kill(pid_, SIGKILL); }

  /// Reads the rest and waits for the end.
  int ExitStatus() {
    ReadUntil(std::string(1, '\0'));
    int status = 0;
    waitpid(pid_, &status, 0);
    waited_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  const std::string& output() const { return output_; }

 private:
  pid_t pid_ = 0;
  int output_fd_ = -1;
  bool waited_ = false;
  std::string output_;
};

}  // namespace parm
