#include "backends/stop_signals.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

#include "backends/worker_loop.h"

namespace parm {
namespace {

// Signal handlers take no arguments of ours, hence file scope; lock-free
// atomics are what a handler may touch.
std::atomic<WorkerLoop*> draining_loop = nullptr;
std::atomic<int> num_signals = 0;
static_assert(std::atomic<WorkerLoop*>::is_always_lock_free);

void OnStopSignal(int signal_number) {
  if (num_signals.fetch_add(1) > 0) _exit(128 + signal_number);
  if (WorkerLoop* const loop = draining_loop.load()) loop->RequestDrain();
}

}  // namespace

void DrainOnStopSignals(WorkerLoop* loop) {
  draining_loop.store(loop);
  struct sigaction action = {};
  action.sa_handler = OnStopSignal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace parm
