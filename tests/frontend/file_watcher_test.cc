#include "frontend/file_watcher.h"

#include <chrono>
#include <filesystem>
#include <functional>

#include "gtest/gtest.h"
#include "tests/support/run_loop.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

class FileWatcherTest : public ::testing::Test {
 protected:
  FileWatcherTest() { WriteFile(path_, "one"); }

  void Watch() {
    watcher_ = std::make_unique<FileWatcher>(loop_, path_, Milliseconds(1),
                                             [this] { ++changes_; });
  }

  // Many looks at the file.
  void Look() { loop_.run_for(std::chrono::milliseconds(30)); }

  bool RunUntil(const std::function<bool()>& done) {
    return RunLoopUntil(loop_, done);
  }

  ScratchDirectory scratch_;
  const std::string path_ = scratch_ / "file";
  boost::asio::io_context loop_;
  int changes_ = 0;
  std::unique_ptr<FileWatcher> watcher_;
};

TEST_F(FileWatcherTest, TellsEachChangeOnce) {
  Watch();
  Look();
  EXPECT_EQ(changes_, 0);
  WriteFile(path_, "three");
  EXPECT_TRUE(RunUntil([this] { return changes_ == 1; }));
  // The same size, another time.
  std::filesystem::last_write_time(
      path_, std::filesystem::last_write_time(path_) + std::chrono::hours(1));
  EXPECT_TRUE(RunUntil([this] { return changes_ == 2; }));
  Look();
  EXPECT_EQ(changes_, 2);
}

TEST_F(FileWatcherTest, TakesAMissingFileForUnchanged) {
  Watch();
  const auto time = std::filesystem::last_write_time(path_);
  std::filesystem::remove(path_);
  Look();
  WriteFile(path_, "one");
  std::filesystem::last_write_time(path_, time);
  Look();
  EXPECT_EQ(changes_, 0);
}

TEST_F(FileWatcherTest, FollowsALinkThatIsSwapped) {
  const std::string link = scratch_ / "link";
  WriteFile(scratch_ / "other", "another");
  std::filesystem::create_symlink(path_, link);
  watcher_ = std::make_unique<FileWatcher>(loop_, link, Milliseconds(1),
                                           [this] { ++changes_; });
  std::filesystem::create_symlink(scratch_ / "other", scratch_ / "next");
  std::filesystem::rename(scratch_ / "next", link);
  EXPECT_TRUE(RunUntil([this] { return changes_ == 1; }));
}

}  // namespace
}  // namespace parm
