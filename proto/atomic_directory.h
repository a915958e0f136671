#pragma once

// A directory of files that appears on disk whole or not at all: how a bundle
// is written while workers may be loading the one before.

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace parm {

/// One file of a directory.
struct DirectoryFile {
  std::string name;  // relative; in one folder at most, as "0/model.pt"
  std::string contents;
};

/// Writes `files` into a fresh directory beside `directory`, syncs them, and
/// renames it into place. A directory that is there already is swapped out in
/// one step (RENAME_EXCHANGE) and then removed; a file system that cannot swap
/// moves the old one aside first, and a crash between those two renames leaves
/// it at `.NAME.old.PID`. Parent folders are made.
/// Needs: names are distinct, each NAME or FOLDER/NAME without "." and "..";
/// one writer per directory.
/// Errors: kInvalidArgument if something is at `directory` that is neither
/// empty nor has a file `marker` in it, so that a slip of the pen does not
/// remove other things; kResourceExhausted if the disk is full; kUnavailable,
/// with the system's words, for all else. Nothing is then left behind, and
/// what was at `directory` is untouched.
absl::Status WriteDirectoryAtomically(const std::string& directory,
                                      const std::vector<DirectoryFile>& files,
                                      const std::string& marker);

}  // namespace parm
