#pragma once

// A model server over gRPC that answers exactly what a test tells it to, on the
// library's own threads. It is ready, serves model "m" (x [-1,2] -> y [-1,2],
// FP32), and leaves the answers to inference to the test.

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "proto/oip/grpc_service.pb.h"

namespace parm {

class FakeGrpcServer {
 public:
  struct Answer {
    grpc::Status status;
    std::string bytes;  // of a ModelInferResponse, or not
    bool never = false;
  };
  using Handler = std::function<Answer(const inference::ModelInferRequest&)>;

  // What it says; a test changes it by Tell.
  struct Says {
    bool answers_health = true;  // false: as if it were stopped
    bool ready = true;
    bool model_ready = true;
    std::string name = "triton";
    inference::ModelMetadataResponse metadata;
    Handler on_infer;
  };
  // What it saw.
  struct Saw {
    int health = 0;
    int infer = 0;
    int cancelled = 0;  // inferences that it had not answered
    std::map<std::string, std::string> metadata;  // of the last inference
    inference::ModelInferRequest request;         // the last one
  };

  /// Port 0 picks one.
  explicit FakeGrpcServer(uint16_t port = 0);
  /// Breaks off what is under way.
  ~FakeGrpcServer();

  uint16_t port() const { return port_; }
  std::string url() const;
  void Tell(const std::function<void(Says*)>& change);
  Saw saw() const;

 private:
  class Service;
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
  uint16_t port_ = 0;
};

/// One output y of these bytes.
inference::ModelInferResponse RawAnswer(const std::string& values,
                                        const std::string& version = "1");

}  // namespace parm
