#pragma once

// A model server that answers exactly what a test tells it to, on the test's
// own loop. It is ready, serves model "m" (x [-1,2] -> y [-1,2], FP32), and
// leaves the answers to inference to the test. Destroying it is a kill -9.

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace parm {

class FakeModelServer {
 public:
  class Connection;

  /// Whom to answer; may be kept for later.
  class Peer {
   public:
    explicit Peer(std::shared_ptr<Connection> connection)
        : connection_(std::move(connection)) {}
    /// Bytes as they are.
    void Send(const std::string& bytes) const;
    /// A whole reply. `headers`: further lines, each with its CRLF.
    void Reply(int status, const std::string& body,
               const std::string& headers = "") const;
    void Close() const;
    /// Which connection it is, from 1.
    int number() const;

   private:
    std::shared_ptr<Connection> connection_;
  };

  struct Request {
    std::string method;
    std::string target;
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;
  };
  using Handler = std::function<void(const Request&, Peer)>;

  /// Port 0 picks one. `address`: in 127.0.0.0/8.
  explicit FakeModelServer(boost::asio::io_context& loop, uint16_t port = 0,
                           const std::string& address = "127.0.0.1");
  ~FakeModelServer();
  FakeModelServer(const FakeModelServer&) = delete;
  FakeModelServer& operator=(const FakeModelServer&) = delete;

  uint16_t port() const { return port_; }
  std::string url() const;
  int num_connections() const;  // accepted so far

  // What it says; a test changes it at any time.
  bool answers_health = true;  // false: as if it were stopped
  int swallowed_up_to = 0;     // by a network: those connections say nothing
  int ready_status = 200;
  int model_ready_status = 200;
  std::string server_metadata =
      R"({"name":"triton","version":"2","extensions":["binary_tensor_data"]})";
  std::string model_metadata =
      R"({"name":"m","versions":["1"],"platform":"p",)"
      R"("inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],)"
      R"("outputs":[{"name":"y","datatype":"FP32","shape":[-1,2]}]})";
  Handler on_infer;
  int num_health = 0;  // requests for /v2/health/ready

 private:
  friend class Connection;
  void Handle(const Request& request, const Peer& peer);

  struct Listener;
  std::shared_ptr<Listener> listener_;
  uint16_t port_ = 0;
};

/// The binary reply of model "m" with these values as its output y.
std::string BinaryAnswer(const std::string& values,
                         const std::string& version = "1",
                         const std::string& shape = "[1,2]",
                         const std::string& datatype = "FP32");

}  // namespace parm
