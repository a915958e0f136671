#pragma once

// Tells when a file has changed: for a configuration that is to be read anew.
// Looks at it from time to time, which follows links that are swapped, as
// mounted configuration maps are, and works on every file system.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/time.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/steady_timer.hpp"

namespace parm {

/// Threads: the loop's alone.
class FileWatcher {
 public:
  /// Calls `changed` when the file's time or size is another than at the last
  /// call, or at the start, and the same in two looks, `interval` apart: so
  /// that no half-written file is read. A file that is gone has not changed.
  FileWatcher(boost::asio::io_context& loop, std::string path,
              Duration interval, std::function<void()> changed);
  ~FileWatcher() { *alive_ = false; }
  FileWatcher(const FileWatcher&) = delete;
  FileWatcher& operator=(const FileWatcher&) = delete;

 private:
  struct Stamp {
    std::filesystem::file_time_type time{};
    uintmax_t size = 0;

    bool operator==(const Stamp&) const = default;
  };

  void Wait();
  void Look();
  Stamp Read() const;

  const std::string path_;
  const Duration interval_;
  const std::function<void()> changed_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  boost::asio::steady_timer timer_;
  Stamp told_;
  Stamp last_;
};

}  // namespace parm
