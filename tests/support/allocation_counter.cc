// In a file of its own: where g++ inlines these, it takes the pair of malloc
// and free for a mismatch.

#include "tests/support/allocation_counter.h"

#include <cstdlib>
#include <new>

namespace {
int64_t num_allocations = 0;
}  // namespace

void* operator new(size_t size) {
  ++num_allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace parm {

int64_t NumAllocations() { return num_allocations; }

}  // namespace parm
