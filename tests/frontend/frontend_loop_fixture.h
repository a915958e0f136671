#pragma once

// What the tests of the frontend's loop share: the loop on the test's own
// thread, and workers that do exactly what the test says.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "boost/asio/io_context.hpp"
#include "frontend/frontend_loop.h"
#include "gtest/gtest.h"
#include "tests/frontend/upstream/fake_worker.h"

namespace parm {

// These workers send no heartbeats, and a busy machine may take its time.
inline constexpr char kPatientHealth[] = "health: {heartbeat_timeout: 60s}\n";

// What a worker serves, a letter each; a bundle's sha256 is 32 times its
// letter.
inline constexpr char kDeployed = 'd';
inline constexpr char kParity = 'p';
inline constexpr char kSecondParity = 'q';
inline constexpr char kPackParity = 'k';  // of code pack, k = 2, always

// A model's section in frontend.yaml.
inline constexpr char kNone[] = "    deadline: 60s\n";
inline constexpr char kCoded[] =
    "    deadline: 60s\n"
    "    redundancy: {policy: coded, code: {scheme: sum, k: 2},"
    " group: {timeout: 30s}}\n";

std::string BytesOf(const std::vector<float>& values);
std::vector<float> FloatsOf(absl::Span<const std::byte> bytes);

/// Rows of two values for model "m".
oip::InferRequest RequestOf(const std::vector<float>& values,
                            oip::Parameters parameters = {});

/// Model "m": x [-1,2] -> y [-1,2]. A worker serves a bundle for each letter of
/// its ids.
class FrontendLoopFixture : public ::testing::Test {
 protected:
  /// Worker i serves the bundles of `ids[i]`, and has said hello.
  void Start(const std::vector<std::string>& ids, const std::string& model,
             const std::string& more = kPatientHealth);

  /// Answers until an answer is taken: one that comes after its timeout is not.
  void SayHello(size_t worker, const std::string& ids, uint64_t nonce = 5);
  wire::Envelope HelloOf(size_t worker, const std::string& ids, uint64_t nonce);
  bool IsUp(size_t worker);

  /// False after a generous while.
  bool RunUntil(const std::function<bool()>& done);

  FakeWorker::Message Next(size_t worker);
  /// The next task of any worker, with the worker that got it; heartbeat
  /// requests and cancels are passed over.
  std::pair<size_t, FakeWorker::Message> NextTask();

  wire::Envelope ReplyTo(const FakeWorker::Message& task,
                         const std::vector<int64_t>& shape = {1, 2});
  void Answer(size_t worker, const FakeWorker::Message& task,
              const std::vector<float>& values);

  /// Fails the test if answered at once, or twice.
  QueryHandle Ask(const std::string& name, oip::InferRequest request);
  const QueryReply& ReplyOf(const std::string& name);
  std::vector<float> ValuesOf(const std::string& name);

  double Metric(const std::string& name);

  uint64_t max_message_bytes_ = 0;  // as every worker says
  CodeSpec code_ = {.scheme = "sum", .k = 2};
  // By a parity bundle's letter: what it says of another pattern than that of
  // its calibration table.
  std::map<char, wire::PatternCalibration> patterns_;
  // Of every worker's first bundle, if not empty.
  std::vector<int64_t> input_shape_;
  std::vector<int64_t> output_shape_;
  bool has_second_input_ = false;  // z [-1,-1], of every worker's first bundle

  boost::asio::io_context loop_;
  std::vector<std::unique_ptr<FakeWorker>> workers_;
  std::vector<std::string> peers_;
  std::map<std::string, QueryReply> replies_;
  bool in_infer_ = false;
  std::unique_ptr<FrontendLoop> frontend_;
};

}  // namespace parm
