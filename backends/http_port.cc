#include "backends/http_port.h"

#include <array>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "backends/oip_service.h"
#include "boost/asio/buffer.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/read.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/write.hpp"
#include "boost/beast/core/flat_buffer.hpp"
#include "boost/beast/core/tcp_stream.hpp"
#include "boost/beast/http/empty_body.hpp"
#include "boost/beast/http/parser.hpp"
#include "boost/beast/http/read.hpp"

namespace parm {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr uint32_t kMaxHeaderBytes = 16 << 10;

absl::string_view ToView(beast::string_view text) {
  return {text.data(), text.size()};
}

struct Session {
  explicit Session(tcp::socket socket) : stream(std::move(socket)) {}

  beast::tcp_stream stream;
  beast::flat_buffer input;
  std::optional<http::request_parser<http::empty_body>> parser;  // the head
  oip::Body body;
  uint64_t held_bytes = 0;  // of `body`, as the port counts them
  std::optional<InferCall> call;
  // What is being written; `answer` owns what the buffers point at.
  std::string head;
  HttpAnswer answer;
  bool keep_alive = true;
};
using SessionPtr = std::shared_ptr<Session>;

std::string HeadOf(const HttpAnswer& answer, bool keep_alive) {
  std::string head = absl::StrCat(
      "HTTP/1.1 ", answer.status, " ",
      ToView(http::obsolete_reason(
          http::int_to_status(static_cast<unsigned>(answer.status)))),
      "\r\nContent-Length: ", answer.body.TotalBytes(), "\r\n");
  if (answer.body.binary) {
    absl::StrAppend(
        &head, "Inference-Header-Content-Length: ", answer.body.json.size(),
        "\r\nContent-Type: application/octet-stream\r\n");
  } else if (!answer.body.json.empty()) {
    absl::StrAppend(&head, "Content-Type: application/json\r\n");
  }
  absl::StrAppend(&head, keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
  return head;
}

}  // namespace

class HttpPort::Impl {
 public:
  Impl(const Options& options, WorkerLoop* loop)
      : options_(options), loop_(loop), service_(loop->bundles()) {}
  ~Impl() { Stop(Duration{0}); }

  absl::Status Start();
  void Stop(Duration linger);
  uint16_t port() const { return port_; }

 private:
  void Accept();
  void ReadHead(const SessionPtr& session);
  void OnBadHead(const SessionPtr& session, error_code error);
  void OnHead(const SessionPtr& session);
  void ReadBody(const SessionPtr& session);
  void OnRequest(const SessionPtr& session);
  void Submit(const SessionPtr& session);
  void WatchForClose(const SessionPtr& session);
  void Answer(const SessionPtr& session, HttpAnswer answer);
  void Forget(const SessionPtr& session);
  void DropBody(const SessionPtr& session);

  const Options options_;
  WorkerLoop* const loop_;
  OipService service_;
  uint16_t port_ = 0;
  asio::io_context context_{1};
  tcp::acceptor acceptor_{context_};
  asio::steady_timer linger_{context_};
  std::set<SessionPtr> sessions_;  // of the port's thread
  uint64_t held_bytes_ = 0;        // of their bodies
  size_t num_writing_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

absl::Status HttpPort::Impl::Start() {
  error_code error;
  const asio::ip::address address =
      asio::ip::make_address(options_.address, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("the address to listen on must be an IP address: got '",
                     options_.address, "'"));
  }
  const tcp::endpoint endpoint(address, options_.port);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) {
    acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  }
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) {
    acceptor_.listen(asio::socket_base::max_listen_connections, error);
  }
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", options_.address, ":", options_.port,
                     ": ", error.message()));
  }
  port_ = acceptor_.local_endpoint(error).port();
  Accept();
  thread_ = std::thread([this] { context_.run(); });
  return absl::OkStatus();
}

void HttpPort::Impl::Stop(Duration linger) {
  if (!thread_.joinable()) return;
  asio::post(context_, [this, linger] {
    error_code ignored;
    acceptor_.close(ignored);
    stopping_ = true;
    if (num_writing_ == 0) return context_.stop();
    linger_.expires_after(linger);
    linger_.async_wait([this](error_code) { context_.stop(); });
  });
  thread_.join();
}

void HttpPort::Impl::Accept() {
  acceptor_.async_accept([this](error_code error, tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (error) {
      // Out of descriptors, perhaps: not again at once.
      linger_.expires_after(Milliseconds(10));
      linger_.async_wait([this](error_code stopped) {
        if (!stopped && !stopping_) Accept();
      });
      return;
    }
    // Beyond the bound a connection is closed as it comes.
    if (sessions_.size() < options_.max_connections) {
      error_code ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      const auto session = std::make_shared<Session>(std::move(socket));
      sessions_.insert(session);
      ReadHead(session);
    }
    Accept();
  });
}

void HttpPort::Impl::Forget(const SessionPtr& session) {
  DropBody(session);
  sessions_.erase(session);
}

void HttpPort::Impl::DropBody(const SessionPtr& session) {
  session->body = {};
  held_bytes_ -= std::exchange(session->held_bytes, 0);
}

void HttpPort::Impl::ReadHead(const SessionPtr& session) {
  session->parser.emplace();
  session->parser->header_limit(kMaxHeaderBytes);
  session->parser->body_limit(options_.max_body_bytes);
  session->call.reset();
  DropBody(session);
  session->stream.expires_after(options_.idle_timeout);
  http::async_read_header(session->stream, session->input, *session->parser,
                          [this, session](error_code error, size_t) {
                            if (error) return OnBadHead(session, error);
                            OnHead(session);
                          });
}

void HttpPort::Impl::OnBadHead(const SessionPtr& session, error_code error) {
  const bool malformed =
      error.category() ==
          http::make_error_code(http::error::end_of_stream).category() &&
      error != http::error::end_of_stream &&
      error != http::error::partial_message;
  if (!malformed) return Forget(session);
  session->keep_alive = false;
  HttpAnswer answer = OipService::ErrorOf(absl::InvalidArgumentError(
      absl::StrCat("request cannot be read: ", error.message())));
  if (error == http::error::body_limit) answer.status = 413;
  Answer(session, std::move(answer));
}

void HttpPort::Impl::OnHead(const SessionPtr& session) {
  const auto& request = session->parser->get();
  session->keep_alive = request.keep_alive();
  const bool has_body = request.method() == http::verb::post;
  const auto length = session->parser->content_length();
  if (!has_body) {
    // What is not read would be taken for the next request.
    if (!session->parser->is_done()) session->keep_alive = false;
    return OnRequest(session);
  }
  if (!length) {
    session->keep_alive = false;
    return Answer(session, OipService::ErrorOf(absl::InvalidArgumentError(
                               "want a Content-Length")));
  }
  if (beast::iequals(request[http::field::expect], "100-continue")) {
    static constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";
    asio::async_write(session->stream,
                      asio::buffer(kContinue, sizeof(kContinue) - 1),
                      [this, session](error_code error, size_t) {
                        if (error) return Forget(session);
                        ReadBody(session);
                      });
    return;
  }
  ReadBody(session);
}

void HttpPort::Impl::ReadBody(const SessionPtr& session) {
  const auto size = static_cast<size_t>(*session->parser->content_length());
  if (held_bytes_ > 0 && held_bytes_ + size > options_.max_held_bytes) {
    session->keep_alive = false;  // The body is not read.
    return Answer(session, OipService::ErrorOf(absl::UnavailableError(
                               "worker holds too many bytes of requests")));
  }
  held_bytes_ += size;
  session->held_bytes = size;
  std::byte* data = nullptr;
  session->body.storage = oip::AllocateBody(size, &data);
  session->body.size = size;
  // Straight to where it stays: by way of the head's small buffer a large body
  // would take a thousand reads.
  const size_t here =
      asio::buffer_copy(asio::buffer(data, size), session->input.data());
  session->input.consume(here);
  session->stream.expires_after(options_.io_timeout);
  asio::async_read(session->stream, asio::buffer(data + here, size - here),
                   [this, session](error_code error, size_t) {
                     if (error) return Forget(session);
                     OnRequest(session);
                   });
}

void HttpPort::Impl::OnRequest(const SessionPtr& session) {
  session->stream.expires_never();
  const auto& request = session->parser->get();
  const absl::string_view target = ToView(request.target());
  if (request.method() == http::verb::get) {
    return Answer(session, service_.Get(target, loop_->draining()));
  }
  if (request.method() != http::verb::post) {
    return Answer(session, OipService::ErrorOf(
                               absl::UnimplementedError("want GET or POST")));
  }
  const auto header = request.find("Inference-Header-Content-Length");
  if (header != request.end()) {
    uint64_t json_bytes = 0;
    if (!absl::SimpleAtoi(ToView(header->value()), &json_bytes) ||
        json_bytes > session->body.size) {
      return Answer(session, OipService::ErrorOf(absl::InvalidArgumentError(
                                 "Inference-Header-Content-Length is no size "
                                 "within the body")));
    }
    session->body.json_bytes = static_cast<size_t>(json_bytes);
  }
  absl::StatusOr<InferCall> call = service_.ParseInfer(target, session->body);
  if (!call.ok()) return Answer(session, OipService::ErrorOf(call.status()));
  session->call = *std::move(call);
  Submit(session);
}

void HttpPort::Impl::Submit(const SessionPtr& session) {
  LocalTask task = {.bundle = session->call->bundle,
                    .inputs = std::move(session->call->inputs)};
  // The loop may outlive the session's connection, and this thread.
  task.done = [this, weak = std::weak_ptr<Session>(session)](
                  const TaskFinished& finished) {
    asio::post(context_, [this, weak, finished] {
      const SessionPtr waiting = weak.lock();
      if (waiting == nullptr || sessions_.count(waiting) == 0) return;
      Answer(waiting, OipService::AnswerOf(*waiting->call, finished));
    });
  };
  const absl::Status taken = loop_->Submit(std::move(task));
  if (!taken.ok()) return Answer(session, OipService::ErrorOf(taken));
  WatchForClose(session);
}

void HttpPort::Impl::WatchForClose(const SessionPtr& session) {
  tcp::socket& socket = session->stream.socket();
  socket.async_wait(tcp::socket::wait_read, [this, session](error_code error) {
    if (error) return;  // cancelled, as the reply is being written
    error_code peeked;
    char byte = 0;
    session->stream.socket().non_blocking(true, peeked);
    const size_t size = session->stream.socket().receive(
        asio::buffer(&byte, 1), tcp::socket::message_peek, peeked);
    // A next request that came early waits in the socket.
    if (size == 0 && peeked != asio::error::would_block) Forget(session);
  });
}

void HttpPort::Impl::Answer(const SessionPtr& session, HttpAnswer answer) {
  error_code ignored;
  session->stream.socket().cancel(ignored);  // WatchForClose
  session->answer = std::move(answer);
  session->body = {};
  session->head = HeadOf(session->answer, session->keep_alive);
  std::vector<asio::const_buffer> buffers = {
      asio::buffer(session->head), asio::buffer(session->answer.body.json)};
  for (const Buffer& tensor : session->answer.body.tensors) {
    buffers.emplace_back(tensor.bytes().data(), tensor.size());
  }
  ++num_writing_;
  session->stream.expires_after(options_.io_timeout);
  asio::async_write(session->stream, buffers,
                    [this, session](error_code error, size_t) {
                      --num_writing_;
                      if (stopping_ && num_writing_ == 0) context_.stop();
                      if (error || !session->keep_alive || stopping_) {
                        return Forget(session);
                      }
                      ReadHead(session);
                    });
}

absl::StatusOr<std::unique_ptr<HttpPort>> HttpPort::Open(const Options& options,
                                                         WorkerLoop* loop) {
  auto impl = std::make_unique<Impl>(options, loop);
  if (absl::Status status = impl->Start(); !status.ok()) return status;
  return std::unique_ptr<HttpPort>(new HttpPort(std::move(impl)));
}

HttpPort::HttpPort(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpPort::~HttpPort() = default;

uint16_t HttpPort::port() const { return impl_->port(); }

void HttpPort::Stop(Duration linger) { impl_->Stop(linger); }

}  // namespace parm
