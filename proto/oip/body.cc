#include "proto/oip/body.h"

#include <cstring>
#include <utility>

namespace parm::oip {

Buffer AllocateBody(size_t size, std::byte** data) {
  Buffer storage = Buffer::Allocate(size + kBodyPadding, data);
  std::memset(*data + size, 0, kBodyPadding);
  return storage;
}

Body BodyOf(std::string text) {
  const size_t size = text.size();
  text.resize(size + kBodyPadding);
  return {.storage = Buffer::FromString(std::move(text)), .size = size};
}

size_t EncodedBody::TotalBytes() const {
  size_t total = json.size();
  for (const Buffer& tensor : tensors) total += tensor.size();
  return total;
}

Body Flatten(const EncodedBody& encoded) {
  const size_t size = encoded.TotalBytes();
  std::byte* data;
  Body body{.storage = AllocateBody(size, &data), .size = size};
  if (encoded.binary) body.json_bytes = encoded.json.size();
  std::memcpy(data, encoded.json.data(), encoded.json.size());
  data += encoded.json.size();
  for (const Buffer& tensor : encoded.tensors) {
    if (tensor.empty()) continue;
    std::memcpy(data, tensor.bytes().data(), tensor.size());
    data += tensor.size();
  }
  return body;
}

}  // namespace parm::oip
