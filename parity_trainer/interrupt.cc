#include "parity_trainer/interrupt.h"

namespace parm {
namespace {

// A signal handler may touch nothing richer than this.
volatile std::sig_atomic_t signal_came = 0;

void Remember(int /*signal*/) { signal_came = 1; }

}  // namespace

InterruptGuard::InterruptGuard() {
  signal_came = 0;
  struct sigaction action = {};
  action.sa_handler = Remember;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &interrupt_before_);
  sigaction(SIGTERM, &action, &terminate_before_);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &interrupt_before_, nullptr);
  sigaction(SIGTERM, &terminate_before_, nullptr);
}

bool InterruptGuard::interrupted() const { return signal_came != 0; }

}  // namespace parm
