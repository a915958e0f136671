#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>

namespace parm {

/// Turns `loop` until `done` says so; false if it does not within a minute.
inline bool RunLoopUntil(boost::asio::io_context& loop,
                         const std::function<bool()>& done) {
  const auto give_up =
      std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!done()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    loop.run_one_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace parm
