#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

using Clock = std::chrono::steady_clock;

// Between fork and exec only what a signal handler may do.
[[noreturn]] void RunChild(char* const* arguments, int output, int log,
                           pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  dup2(output, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  execv(arguments[0], arguments);
  _exit(127);
}

}  // namespace

std::string ProgramPath(const std::string& name) {
  const char* const folder = std::getenv("PARM_BIN");
  PARM_CHECK(folder != nullptr);
  return absl::StrCat(folder, "/", name);
}

absl::StatusOr<std::unique_ptr<Process>> Process::Start(
    const std::vector<std::string>& arguments, const std::string& log_path) {
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  int pipe_ends[2];
  PARM_CHECK(pipe2(pipe_ends, O_CLOEXEC) == 0);
  const int log =
      open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  PARM_CHECK(log >= 0);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) RunChild(pointers.data(), pipe_ends[1], log, parent);
  close(pipe_ends[1]);
  close(log);
  if (pid < 0) {
    close(pipe_ends[0]);
    return absl::UnavailableError(
        absl::StrCat("cannot fork: ", std::strerror(errno)));
  }
  return std::unique_ptr<Process>(new Process(pid, pipe_ends[0], log_path));
}

Process::Process(pid_t pid, int output, std::string log_path)
    : pid_(pid), output_(output), log_path_(std::move(log_path)) {}

Process::~Process() {
  if (!ended_.has_value()) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(output_);
}

absl::StatusOr<std::string> Process::WaitForLine(const std::string& prefix) {
  const Clock::time_point give_up = Clock::now() + kPatience;
  while (true) {
    for (size_t end; (end = unread_.find('\n')) != std::string::npos;) {
      const std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      if (line.rfind(prefix, 0) == 0) return line;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        give_up - Clock::now());
    pollfd waiting = {.fd = output_, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 ||
        poll(&waiting, 1, static_cast<int>(left.count())) == 0) {
      return absl::DeadlineExceededError(
          absl::StrCat("no line '", prefix, "' in time; log: ", Log()));
    }
    char bytes[4096];
    const ssize_t n = read(output_, bytes, sizeof(bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return absl::UnavailableError(
          absl::StrCat("ended without a line '", prefix, "'; log: ", Log()));
    }
    unread_.append(bytes, static_cast<size_t>(n));
  }
}

void Process::Signal(int signal) {
  // Reaped ids may belong to others by now.
  if (!ended_.has_value()) kill(pid_, signal);
}

absl::StatusOr<int> Process::Wait() {
  const Clock::time_point give_up = Clock::now() + kPatience;
  while (!ended_.has_value()) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      ended_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
      break;
    }
    if (Clock::now() > give_up) {
      return absl::DeadlineExceededError("the process does not end");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return *ended_;
}

std::string Process::Log() const {
  std::ifstream file(log_path_, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string FieldOf(const std::string& line, const std::string& name) {
  const std::string key = absl::StrCat(" ", name, "=");
  const size_t begin = line.find(key);
  if (begin == std::string::npos) return "";
  const size_t value = begin + key.size();
  return line.substr(value, line.find(' ', value) - value);
}

}  // namespace parm
