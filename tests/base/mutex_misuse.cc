// Not built. Compiled by base.mutex_annotations, which expects clang to refuse
// it, and by its control with PARM_LOCKED, which it must accept.

#include "base/mutex.h"

namespace parm {

class Counter {
 public:
  void Add() {
#ifdef PARM_LOCKED
    MutexLock lock(&mu_);
#endif
    ++value_;
  }

 private:
  Mutex mu_;
  int value_ ABSL_GUARDED_BY(mu_) = 0;
};

void Use() { Counter().Add(); }

}  // namespace parm
