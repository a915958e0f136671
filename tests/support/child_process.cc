#include "tests/support/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/status_macros.h"

namespace parm {
namespace {

Time Now() { return std::chrono::steady_clock::now(); }

// False if the descriptor stays silent until the deadline.
bool WaitReadable(int fd, Time deadline) {
  pollfd item = {.fd = fd, .events = POLLIN, .revents = 0};
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - Now()).count();
    const int ready = poll(&item, 1, left < 0 ? 0 : static_cast<int>(left));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

}  // namespace

std::string ProgramPath(const std::string& name) {
  if (const char* const folder = std::getenv("PARM_BIN")) {
    return std::string(folder) + "/" + name;
  }
  const std::filesystem::path self =
      std::filesystem::read_symlink("/proc/self/exe");
  return (self.parent_path().parent_path() / "bin" / name).string();
}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments) {
  int pipe_fds[2];
  PARM_CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
  // Everything that allocates happens before the fork.
  std::vector<char*> argv;
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  const std::string stderr_path = scratch_ / "stderr";
  pid_ = fork();
  PARM_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int stderr_fd =
        open(stderr_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (stderr_fd < 0 || dup2(stderr_fd, STDERR_FILENO) < 0 ||
        dup2(pipe_fds[1], STDOUT_FILENO) < 0) {
      _exit(126);
    }
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(pipe_fds[1]);
  stdout_fd_ = pipe_fds[0];
}

ChildProcess::~ChildProcess() {
  if (!status_.has_value()) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(stdout_fd_);
}

std::optional<std::string> ChildProcess::ReadLine(Duration patience) {
  const Time deadline = Now() + patience;
  while (true) {
    const size_t end = unread_.find('\n');
    if (end != std::string::npos) {
      const std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    char bytes[4096];
    if (!WaitReadable(stdout_fd_, deadline)) return std::nullopt;
    const ssize_t size = read(stdout_fd_, bytes, sizeof(bytes));
    if (size <= 0) return std::nullopt;
    unread_.append(bytes, static_cast<size_t>(size));
  }
}

void ChildProcess::Signal(int signal_number) const {
  if (!status_.has_value()) kill(pid_, signal_number);
}

std::optional<int> ChildProcess::Wait(Duration patience) {
  if (status_.has_value()) return status_;
  // A pidfd becomes readable when its process ends.
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  PARM_CHECK(pidfd >= 0);
  const bool ended = WaitReadable(pidfd, Now() + patience);
  close(pidfd);
  if (!ended) return std::nullopt;
  int status = 0;
  PARM_CHECK(waitpid(pid_, &status, 0) == pid_);
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return status_;
}

std::string ChildProcess::Stderr() const {
  return ReadFile(scratch_ / "stderr");
}

}  // namespace parm
