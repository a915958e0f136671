#include "frontend/serve/pinned_body.h"

#include <cstddef>
#include <functional>

namespace parm {
namespace {

// A tensor read from JSON has memory of its own.
bool LiesIn(const Buffer& storage, const Buffer& data) {
  const std::less_equal<const std::byte*> before;
  const std::byte* const begin = storage.bytes().data();
  return !data.empty() && before(begin, data.bytes().data()) &&
         before(data.bytes().data() + data.size(), begin + storage.size());
}

}  // namespace

void UnpinBody(const Buffer& storage, std::vector<oip::Tensor>* inputs) {
  size_t used = 0;
  for (const oip::Tensor& input : *inputs) {
    if (LiesIn(storage, input.data)) used += input.data.size();
  }
  if (used >= storage.size() - used) return;
  for (oip::Tensor& input : *inputs) {
    if (LiesIn(storage, input.data)) {
      input.data = Buffer::CopyOf(input.data.bytes());
    } else if (input.data.empty()) {
      input.data = Buffer();
    }
  }
}

}  // namespace parm
