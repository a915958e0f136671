#include "tests/frontend/upstream/oip/fake_model_server.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace parm {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

struct FakeModelServer::Listener
    : std::enable_shared_from_this<FakeModelServer::Listener> {
  explicit Listener(asio::io_context& io) : loop(io), acceptor(io) {}
  void Accept();

  asio::io_context& loop;
  tcp::acceptor acceptor;
  FakeModelServer* server = nullptr;  // null: gone
  std::set<std::shared_ptr<Connection>> connections;
  int num_connections = 0;
};

class FakeModelServer::Connection
    : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, std::shared_ptr<Listener> listener, int number)
      : socket_(std::move(socket)),
        listener_(std::move(listener)),
        number_(number) {}

  void Read() {
    socket_.async_read_some(
        asio::buffer(chunk_),
        [self = shared_from_this()](error_code error, size_t size) {
          if (error) return self->Close();
          self->received_.append(self->chunk_, size);
          self->Process();
          self->Read();
        });
  }

  void Send(std::string bytes) {
    const auto kept = std::make_shared<std::string>(std::move(bytes));
    asio::async_write(socket_, asio::buffer(*kept),
                      [kept, self = shared_from_this()](error_code, size_t) {});
  }

  void Close() {
    error_code ignored;
    socket_.close(ignored);
    listener_->connections.erase(shared_from_this());
  }

  int number() const { return number_; }

 private:
  void Process() {
    for (;;) {
      const size_t head_end = received_.find("\r\n\r\n");
      if (head_end == std::string::npos) return;
      Request request;
      const std::vector<std::string> lines =
          absl::StrSplit(received_.substr(0, head_end), "\r\n");
      const std::vector<std::string> words = absl::StrSplit(lines[0], ' ');
      request.method = words.at(0);
      request.target = words.at(1);
      for (size_t i = 1; i < lines.size(); ++i) {
        const std::pair<std::string, std::string> line =
            absl::StrSplit(lines[i], absl::MaxSplits(": ", 1));
        request.headers[absl::AsciiStrToLower(line.first)] = line.second;
      }
      size_t size = 0;
      if (request.headers.contains("content-length")) {
        (void)absl::SimpleAtoi(request.headers["content-length"], &size);
      }
      if (received_.size() < head_end + 4 + size) return;
      request.body = received_.substr(head_end + 4, size);
      received_.erase(0, head_end + 4 + size);
      if (listener_->server == nullptr) return;
      listener_->server->Handle(request, Peer(shared_from_this()));
    }
  }

  tcp::socket socket_;
  const std::shared_ptr<Listener> listener_;
  const int number_;
  char chunk_[65536];
  std::string received_;
};

void FakeModelServer::Listener::Accept() {
  acceptor.async_accept(
      [self = shared_from_this()](error_code error, tcp::socket socket) {
        if (error) return;
        const auto connection = std::make_shared<Connection>(
            std::move(socket), self, ++self->num_connections);
        self->connections.insert(connection);
        connection->Read();
        self->Accept();
      });
}

void FakeModelServer::Peer::Send(const std::string& bytes) const {
  connection_->Send(bytes);
}

void FakeModelServer::Peer::Reply(int status, const std::string& body,
                                  const std::string& headers) const {
  connection_->Send(absl::StrCat("HTTP/1.1 ", status, " X\r\nContent-Length: ",
                                 body.size(), "\r\n", headers, "\r\n", body));
}

void FakeModelServer::Peer::Close() const { connection_->Close(); }

int FakeModelServer::Peer::number() const { return connection_->number(); }

FakeModelServer::FakeModelServer(asio::io_context& loop, uint16_t port,
                                 const std::string& address)
    : listener_(std::make_shared<Listener>(loop)) {
  const tcp::endpoint at(asio::ip::make_address(address), port);
  listener_->server = this;
  listener_->acceptor.open(at.protocol());
  listener_->acceptor.set_option(tcp::acceptor::reuse_address(true));
  listener_->acceptor.bind(at);
  listener_->acceptor.listen();
  port_ = listener_->acceptor.local_endpoint().port();
  listener_->Accept();
}

FakeModelServer::~FakeModelServer() {
  listener_->server = nullptr;
  error_code ignored;
  listener_->acceptor.close(ignored);
  while (!listener_->connections.empty()) {
    (*listener_->connections.begin())->Close();
  }
}

std::string FakeModelServer::url() const {
  return absl::StrCat("http://127.0.0.1:", port_);
}

int FakeModelServer::num_connections() const {
  return listener_->num_connections;
}

void FakeModelServer::Handle(const Request& request, const Peer& peer) {
  if (peer.number() <= swallowed_up_to) return;
  if (absl::EndsWith(request.target, "/infer")) {
    if (on_infer != nullptr) on_infer(request, peer);
  } else if (request.target == "/v2/health/ready") {
    ++num_health;
    if (answers_health) peer.Reply(ready_status, "");
  } else if (absl::EndsWith(request.target, "/ready")) {
    peer.Reply(model_ready_status, "");
  } else if (request.target == "/v2") {
    peer.Reply(200, server_metadata);
  } else {
    peer.Reply(200, model_metadata);
  }
}

std::string BinaryAnswer(const std::string& values, const std::string& version,
                         const std::string& shape,
                         const std::string& datatype) {
  const std::string json = absl::StrCat(
      R"({"model_name":"m","model_version":")", version,
      R"(","outputs":[{"name":"y","datatype":")", datatype, R"(","shape":)",
      shape, R"(,"parameters":{"binary_data_size":)", values.size(), "}}]}");
  return absl::StrCat(
      "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
      "Inference-Header-Content-Length: ",
      json.size(), "\r\nContent-Length: ", json.size() + values.size(),
      "\r\n\r\n", json, values);
}

}  // namespace parm
