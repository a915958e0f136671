#pragma once

// One valid envelope of each kind, with small round numbers: what golden bytes,
// fuzz corpora and refusals start from.

#include <string>
#include <vector>

#include "proto/envelope.pb.h"

namespace parm::wire {

inline TensorSpec Fp32Spec(const std::string& name,
                           const std::vector<int64_t>& shape) {
  TensorSpec spec;
  spec.set_name(name);
  spec.set_datatype(FP32);
  spec.mutable_shape()->Add(shape.begin(), shape.end());
  return spec;
}

inline Envelope HelloRequestEnvelope() {
  Envelope envelope;
  envelope.mutable_hello_request()->set_frontend_id("f1");
  return envelope;
}

inline Envelope HelloEnvelope() {
  Envelope envelope;
  Hello* hello = envelope.mutable_hello();
  hello->set_worker_id("w1");
  hello->set_fault_domain("rack1");
  hello->set_instance_nonce(0x0102030405060708);
  hello->set_lanes(2);
  BundleInfo* bundle = hello->add_bundles();
  bundle->set_sha256(std::string(32, '\x11'));
  bundle->set_model("m");
  bundle->set_variant("v");
  bundle->set_version("1");
  bundle->set_role(PARITY);
  *bundle->add_inputs() = Fp32Spec("x", {-1, 3});
  *bundle->add_outputs() = Fp32Spec("y", {-1, 2});
  bundle->mutable_lineage()->set_deployed_sha256(std::string(32, '\x22'));
  bundle->mutable_lineage()->mutable_code()->set_scheme("sum");
  bundle->mutable_lineage()->mutable_code()->set_k(2);
  bundle->mutable_lineage()->mutable_code()->set_r(2);
  bundle->set_relative_cost(1.5);
  bundle->add_calibration()->set_probability_right(0.5);
  CalibrationBin* bin = bundle->add_calibration();
  bin->set_margin_at_least(2);
  bin->set_probability_right(0.75);
  bundle->set_deployed_accuracy(0.75);
  bundle->add_degraded_accuracy(0.5);
  PatternCalibration* pattern = bundle->add_pattern_calibration();
  pattern->set_losses(2);
  pattern->set_parities(3);
  pattern->add_calibration()->set_probability_right(0.25);
  hello->set_max_message_bytes(1024);
  return envelope;
}

inline Envelope InferEnvelope() {
  Envelope envelope;
  Infer* infer = envelope.mutable_infer();
  infer->set_task_id(7);
  infer->set_bundle_sha256(std::string(32, '\x11'));
  infer->set_priority(1);
  infer->set_remaining_budget_us(500000);
  *infer->add_tensors() = Fp32Spec("x", {1, 3});
  infer->set_luck(9);
  return envelope;
}

inline Envelope StartedEnvelope() {
  Envelope envelope;
  envelope.mutable_started()->set_task_id(7);
  envelope.mutable_started()->set_instance_nonce(0x0102030405060708);
  return envelope;
}

inline Envelope ReplyEnvelope() {
  Envelope envelope;
  Reply* reply = envelope.mutable_reply();
  reply->set_task_id(7);
  reply->set_instance_nonce(0x0102030405060708);
  reply->set_status(OK);
  reply->set_started(true);
  reply->set_queue_us(40);
  reply->set_compute_us(20000);
  *reply->add_tensors() = Fp32Spec("y", {1, 2});
  return envelope;
}

inline Envelope ErrorReplyEnvelope() {
  Envelope envelope;
  Reply* reply = envelope.mutable_reply();
  reply->set_task_id(7);
  reply->set_instance_nonce(0x0102030405060708);
  reply->set_status(ERROR);
  reply->set_error("no such bundle");
  reply->set_retryable(true);
  return envelope;
}

inline Envelope CancelEnvelope() {
  Envelope envelope;
  envelope.mutable_cancel()->set_task_id(7);
  return envelope;
}

inline Envelope HeartbeatEnvelope() {
  Envelope envelope;
  Heartbeat* heartbeat = envelope.mutable_heartbeat();
  heartbeat->set_instance_nonce(0x0102030405060708);
  heartbeat->set_queue_depth(3);
  heartbeat->set_in_flight(2);
  return envelope;
}

inline Envelope DrainEnvelope() {
  Envelope envelope;
  envelope.mutable_drain()->set_instance_nonce(0x0102030405060708);
  return envelope;
}

inline Envelope HeartbeatRequestEnvelope() {
  Envelope envelope;
  envelope.mutable_heartbeat_request();
  return envelope;
}

/// One of each kind.
inline std::vector<Envelope> AllEnvelopes() {
  return {HelloRequestEnvelope(),    HelloEnvelope(),     InferEnvelope(),
          StartedEnvelope(),         ReplyEnvelope(),     ErrorReplyEnvelope(),
          CancelEnvelope(),          HeartbeatEnvelope(), DrainEnvelope(),
          HeartbeatRequestEnvelope()};
}

}  // namespace parm::wire
