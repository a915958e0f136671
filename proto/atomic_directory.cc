#include "proto/atomic_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

namespace fs = std::filesystem;

absl::Status SystemError(int error, absl::string_view doing,
                         const fs::path& path) {
  const std::string text =
      absl::StrCat("cannot ", doing, " ", path.native(), ": ",
                   std::generic_category().message(error));
  // EFBIG: the limit on a file's size, as a full disk to whoever writes.
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return full ? absl::ResourceExhaustedError(text)
              : absl::UnavailableError(text);
}

// Runs on scope exit unless told not to.
template <typename Action>
class Cleanup {
 public:
  explicit Cleanup(Action action) : action_(std::move(action)) {}
  ~Cleanup() {
    if (armed_) action_();
  }
  void Cancel() { armed_ = false; }

 private:
  Action action_;
  bool armed_ = true;
};

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  const int fd_;
};

absl::Status WriteFile(const fs::path& path, const std::string& contents) {
  const FileDescriptor file(
      open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (file.get() < 0) return SystemError(errno, "create", path);
  size_t done = 0;
  while (done < contents.size()) {
    const ssize_t written =
        write(file.get(), contents.data() + done, contents.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError(errno, "write", path);
    done += static_cast<size_t>(written);
  }
  if (fsync(file.get()) != 0) return SystemError(errno, "sync", path);
  return absl::OkStatus();
}

absl::Status SyncDirectory(const fs::path& path) {
  const FileDescriptor directory(
      open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0 || fsync(directory.get()) != 0) {
    return SystemError(errno, "sync", path);
  }
  return absl::OkStatus();
}

// Writes into an empty folder.
absl::Status WriteFiles(const fs::path& folder,
                        const std::vector<DirectoryFile>& files) {
  std::set<fs::path> folders = {folder};
  for (const DirectoryFile& file : files) {
    const fs::path path = folder / file.name;
    const fs::path parent = path.parent_path();
    if (folders.insert(parent).second && mkdir(parent.c_str(), 0777) != 0) {
      return SystemError(errno, "make folder", parent);
    }
    PARM_RETURN_IF_ERROR(WriteFile(path, file.contents));
  }
  for (const fs::path& written : folders) {
    PARM_RETURN_IF_ERROR(SyncDirectory(written));
  }
  return absl::OkStatus();
}

// Makes `path` and what is missing above it; `*made` lists them, deepest last.
absl::Status MakeParents(const fs::path& path, std::vector<fs::path>* made) {
  std::vector<fs::path> missing;
  std::error_code error;
  for (fs::path at = path; !fs::exists(at, error) && at.has_relative_path();
       at = at.parent_path()) {
    missing.push_back(at);
  }
  for (auto at = missing.rbegin(); at != missing.rend(); ++at) {
    if (mkdir(at->c_str(), 0777) == 0) {
      made->push_back(*at);
    } else if (errno != EEXIST) {
      return SystemError(errno, "make folder", *at);
    }
  }
  return absl::OkStatus();
}

// A swap on a file system that cannot do it in one step.
absl::Status MoveAsideAndRename(const fs::path& fresh, const fs::path& target,
                                const fs::path& aside) {
  if (rename(target.c_str(), aside.c_str()) != 0) {
    return SystemError(errno, "move aside", target);
  }
  if (rename(fresh.c_str(), target.c_str()) != 0) {
    const int error = errno;
    rename(aside.c_str(), target.c_str());
    return SystemError(error, "replace", target);
  }
  std::error_code ignored;
  fs::remove_all(aside, ignored);
  return absl::OkStatus();
}

absl::Status RenameIntoPlace(const fs::path& fresh, const fs::path& target,
                             const fs::path& aside, bool replace) {
  if (!replace) {
    if (rename(fresh.c_str(), target.c_str()) == 0) return absl::OkStatus();
    return SystemError(errno, "rename into place", target);
  }
  if (renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, target.c_str(),
                RENAME_EXCHANGE) == 0) {
    std::error_code ignored;
    fs::remove_all(fresh, ignored);  // It holds the old directory now.
    return absl::OkStatus();
  }
  if (errno != EINVAL && errno != ENOSYS) {
    return SystemError(errno, "replace", target);
  }
  return MoveAsideAndRename(fresh, target, aside);
}

}  // namespace

absl::Status WriteDirectoryAtomically(const std::string& directory,
                                      const std::vector<DirectoryFile>& files,
                                      const std::string& marker) {
  std::error_code error;
  // A link to a bundle stays a link.
  fs::path target = fs::absolute(directory, error);
  if (!error) target = fs::weakly_canonical(target, error);
  if (!target.has_filename()) target = target.parent_path();
  if (error || !target.has_filename()) {
    return SystemError(error ? error.value() : EINVAL, "write", directory);
  }
  const bool replace = fs::exists(target, error);
  if (replace && !fs::exists(target / marker, error) &&
      !(fs::is_directory(target, error) && fs::is_empty(target, error))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "refused to replace what holds no ", marker, ": ", directory));
  }

  const fs::path parent = target.parent_path();
  std::vector<fs::path> made;
  Cleanup remove_parents([&made] {
    for (auto at = made.rbegin(); at != made.rend(); ++at) rmdir(at->c_str());
  });
  PARM_RETURN_IF_ERROR(MakeParents(parent, &made));

  const auto beside = [&](absl::string_view what) {
    return parent / absl::StrCat(".", target.filename().native(), ".", what,
                                 ".", getpid());
  };
  const fs::path fresh = beside("new");
  fs::remove_all(fresh, error);  // Of a process that died and had our id.
  if (mkdir(fresh.c_str(), 0777) != 0) {
    return SystemError(errno, "make folder", fresh);
  }
  Cleanup remove_fresh([&fresh] {
    std::error_code ignored;
    fs::remove_all(fresh, ignored);
  });
  PARM_RETURN_IF_ERROR(WriteFiles(fresh, files));
  PARM_RETURN_IF_ERROR(RenameIntoPlace(fresh, target, beside("old"), replace));
  remove_fresh.Cancel();
  remove_parents.Cancel();
  // In place already: that the name may not survive a power cut is no failure.
  (void)SyncDirectory(parent);
  return absl::OkStatus();
}

}  // namespace parm
