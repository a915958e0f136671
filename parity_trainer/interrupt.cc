#include "parity_trainer/interrupt.h"

#include <csignal>

namespace parm {
namespace {

// A signal handler may touch nothing richer than this.
volatile std::sig_atomic_t interrupted = 0;

void Remember(int /*signal*/) { interrupted = 1; }

}  // namespace

void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = Remember;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool Interrupted() { return interrupted != 0; }

}  // namespace parm
