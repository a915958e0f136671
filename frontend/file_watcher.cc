#include "frontend/file_watcher.h"

#include <system_error>
#include <utility>

namespace parm {

FileWatcher::FileWatcher(boost::asio::io_context& loop, std::string path,
                         Duration interval, std::function<void()> changed)
    : path_(std::move(path)),
      interval_(interval),
      changed_(std::move(changed)),
      timer_(loop) {
  told_ = last_ = Read();
  Wait();
}

void FileWatcher::Wait() {
  timer_.expires_after(interval_);
  timer_.async_wait(
      [this, alive = alive_](const boost::system::error_code& error) {
        if (error || !*alive) return;
        Look();
        Wait();
      });
}

void FileWatcher::Look() {
  const Stamp now = Read();
  const bool settled = now == std::exchange(last_, now);
  if (!settled || now == told_ || now == Stamp{}) return;
  told_ = now;
  changed_();
}

FileWatcher::Stamp FileWatcher::Read() const {
  std::error_code error;
  Stamp stamp;
  stamp.time = std::filesystem::last_write_time(path_, error);
  if (error) return {};
  stamp.size = std::filesystem::file_size(path_, error);
  return error ? Stamp{} : stamp;
}

}  // namespace parm
