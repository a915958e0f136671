#pragma once

// A blocking client of the Open Inference Protocol for tests: one connection,
// binary FP32 tensors, replies taken apart with the product's own codec.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "proto/oip/messages.h"
#include "tests/support/raw_http_client.h"

namespace parm {

struct InferAnswer {
  int status = 0;             // 0: the connection ended first
  std::string source;         // x-parm-source
  std::vector<float> values;  // of the first output
  std::string error;          // the body of an error
  std::map<std::string, std::string> headers;
};

/// Threads: one.
class InferClient {
 public:
  explicit InferClient(uint16_t port) : http_(port) {}

  /// Asks for [rows, values.size() / rows] of input "x".
  InferAnswer Infer(const std::string& model, const std::vector<float>& values,
                    const oip::Parameters& parameters = {}, int64_t rows = 1);

  /// Sends as Infer, without waiting for the answer.
  void Send(const std::string& model, const std::vector<float>& values,
            const oip::Parameters& parameters = {}, int64_t rows = 1);
  /// Sends one sample, or several, as they are.
  void Send(const std::string& model, oip::Tensor input,
            const oip::Parameters& parameters = {});
  InferAnswer Receive();

  RawReply Get(const std::string& path);

 private:
  RawHttpClient http_;
};

/// The value of a metric of /metrics with exactly these labels as text, such
/// as `parm_worker_state{worker="w",state="up"}`; -1 if it is not there.
double MetricValue(const std::string& metrics, const std::string& name);

}  // namespace parm
