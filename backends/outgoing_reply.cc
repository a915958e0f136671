#include "backends/outgoing_reply.h"

#include <algorithm>
#include <cstddef>
#include <random>
#include <utility>

#include "backends/served_bundle.h"
#include "base/status_macros.h"
#include "proto/wire_codec.h"

namespace parm {
namespace {

void FillAtRandom(std::byte* data, size_t size, uint64_t bits) {
  std::mt19937_64 random(bits);
  std::generate_n(data, size, [&] { return std::byte(random() & 0xff); });
}

// Well formed, with one element more than the bundle's first output has.
void LengthenFirstTensor(OutgoingReply* reply) {
  auto envelope = wire::ParseEnvelope(absl::MakeConstSpan(
      reinterpret_cast<const std::byte*>(reply->envelope.data()),
      reply->envelope.size()));
  PARM_CHECK(envelope.ok());  // we have just made it
  wire::TensorSpec* const spec = envelope->mutable_reply()->mutable_tensors(0);
  const TensorSpec was = wire::FromWire(*spec);
  const size_t element_size = DataTypeSize(was.datatype);
  const Buffer& old = reply->tensors[0];
  std::byte* data = nullptr;
  Buffer longer = Buffer::Allocate(old.size() + element_size, &data);
  std::copy(old.bytes().begin(), old.bytes().end(), data);
  std::fill_n(data + old.size(), element_size, std::byte{0});
  spec->clear_shape();
  spec->add_shape(element_size == 0
                      ? 0
                      : static_cast<int64_t>(longer.size() / element_size));
  reply->tensors[0] = std::move(longer);
  reply->envelope = wire::SerializeEnvelope(*std::move(envelope));
}

}  // namespace

OutgoingReply BuildReply(const TaskFinished& finished,
                         uint64_t instance_nonce) {
  OutgoingReply outgoing;
  wire::Envelope envelope;
  wire::Reply* const reply = envelope.mutable_reply();
  reply->set_task_id(Raw(finished.key.task));
  reply->set_instance_nonce(instance_nonce);
  reply->set_status(finished.status);
  reply->set_started(finished.started);
  reply->set_queue_us(ToMicroseconds(finished.queued));
  reply->set_compute_us(ToMicroseconds(finished.computed));
  reply->set_error(finished.error);
  reply->set_retryable(finished.retryable);
  for (size_t i = 0; i < finished.outputs.size(); ++i) {
    const ModelTensor& output = finished.outputs[i];
    *reply->add_tensors() =
        wire::ToWire({.name = finished.bundle->outputs()[i].name,
                      .datatype = output.datatype,
                      .shape = output.shape});
    outgoing.tensors.push_back(output.bytes);
  }
  outgoing.envelope = wire::SerializeEnvelope(std::move(envelope));
  return outgoing;
}

void CorruptReply(Corruption corruption, uint64_t bits, OutgoingReply* reply) {
  if (corruption == Corruption::kNone) return;
  if (corruption == Corruption::kGarbageFrame || reply->tensors.empty()) {
    FillAtRandom(reinterpret_cast<std::byte*>(reply->envelope.data()),
                 reply->envelope.size(), bits);
    return;
  }
  if (corruption == Corruption::kWrongShape) return LengthenFirstTensor(reply);
  // The model's own bytes may be shared: damage copies.
  for (Buffer& tensor : reply->tensors) {
    std::byte* data = nullptr;
    Buffer damaged = Buffer::Allocate(tensor.size(), &data);
    FillAtRandom(data, damaged.size(), bits);
    tensor = std::move(damaged);
  }
}

}  // namespace parm
