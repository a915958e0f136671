#include "experiments/bench/null_server.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "boost/asio/buffer.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/beast/core/flat_buffer.hpp"
#include "boost/beast/http/parser.hpp"
#include "boost/beast/http/read.hpp"
#include "boost/beast/http/string_body.hpp"
#include "boost/beast/http/write.hpp"
#include "proto/oip/infer_response_codec.h"
#include "proto/oip/metadata_json.h"

namespace parm {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr uint64_t kMaxRequestBytes = uint64_t{64} << 20;
constexpr size_t kReadBytes = 65'536;
constexpr std::chrono::milliseconds kAcceptAgain{10};

}  // namespace

oip::ModelMetadata NullModelMetadata(const NullServerOptions& options) {
  return {.name = options.model,
          .versions = {"1"},
          .platform = "null",
          .inputs = {options.input},
          .outputs = {{.name = "output",
                       .datatype = DataType::kFp32,
                       .shape = {-1, options.num_classes}}}};
}

oip::InferResponse NullResponse(const NullServerOptions& options,
                                int predicted_class, size_t num_rows) {
  const auto num_classes = static_cast<size_t>(options.num_classes);
  std::vector<float> rows(num_rows * num_classes, 0.0F);
  for (size_t i = 0; i < num_rows; ++i) {
    rows[i * num_classes +
         (static_cast<size_t>(predicted_class) + i) % num_classes] = 1.0F;
  }
  const auto bytes =
      absl::MakeConstSpan(reinterpret_cast<const std::byte*>(rows.data()),
                          rows.size() * sizeof(float));
  oip::InferResponse response{.model_name = options.model,
                              .model_version = "1"};
  response.outputs.push_back(
      {.spec = {.name = "output",
                .datatype = DataType::kFp32,
                .shape = {static_cast<int64_t>(num_rows), options.num_classes}},
       .data = Buffer::CopyOf(bytes)});
  return response;
}

class NullServer::Impl {
 public:
  explicit Impl(NullServerOptions options) : options_(std::move(options)) {}
  ~Impl() {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Start() {
    error_code error;
    const asio::ip::tcp::endpoint endpoint(asio::ip::address_v4::loopback(),
                                           options_.port);
    acceptor_.open(endpoint.protocol(), error);
    if (!error) {
      acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    }
    if (!error) acceptor_.bind(endpoint, error);
    if (!error)
      acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return absl::UnavailableError(absl::StrCat(
          "cannot listen: port ", options_.port, ": ", error.message()));
    }
    port_ = acceptor_.local_endpoint(error).port();
    WriteReplies();
    Accept();
    thread_ = std::thread([this] { context_.run(); });
    return absl::OkStatus();
  }

  uint16_t port() const { return port_; }

 private:
  struct Session {
    explicit Session(asio::ip::tcp::socket accepted)
        : socket(std::move(accepted)) {
      // What is read at once: little while a buffer is small.
      input.reserve(kReadBytes);
    }
    asio::ip::tcp::socket socket;
    boost::beast::flat_buffer input;
    std::optional<http::request_parser<http::string_body>> parser;
    http::response<http::string_body> reply;
  };
  using SessionPtr = std::shared_ptr<Session>;

  /// The body of an answer does not depend on the query beyond its class.
  void WriteReplies() {
    std::vector<int64_t> shape = options_.input.shape;
    if (!shape.empty()) shape[0] = 1;
    sample_bytes_ = static_cast<size_t>(
        NumBytes(options_.input.datatype, shape).value_or(0));
    for (int best = 0; best < options_.num_classes; ++best) {
      for (const bool binary : {false, true}) {
        replies_[binary].push_back(
            *oip::WriteInferResponse(NullResponse(options_, best), {}, binary));
      }
    }
  }

  void Accept() {
    acceptor_.async_accept(
        [this](error_code error, asio::ip::tcp::socket socket) {
          if (error) {
            // Out of descriptors, for one: there may be some again.
            again_.expires_after(kAcceptAgain);
            again_.async_wait([this](error_code) { Accept(); });
            return;
          }
          error_code ignored;
          socket.set_option(asio::ip::tcp::no_delay(true), ignored);
          Read(std::make_shared<Session>(std::move(socket)));
          Accept();
        });
  }

  void Read(const SessionPtr& session) {
    session->parser.emplace();
    session->parser->body_limit(kMaxRequestBytes);
    http::async_read(session->socket, session->input, *session->parser,
                     [this, session](error_code error, size_t) {
                       if (!error) Answer(session);
                     });
  }

  void Answer(const SessionPtr& session) {
    const auto request = session->parser->release();
    session->reply = {};
    session->reply.version(11);
    if (request.method() == http::verb::get) {
      session->reply.result(http::status::ok);
      session->reply.body() =
          request.target() == "/v2"
              ? oip::WriteServerMetadata("null", "1", {"binary_tensor_data"})
              : oip::WriteModelMetadata(NullModelMetadata(options_));
    } else {
      const auto length = request["Inference-Header-Content-Length"];
      const bool binary = !length.empty();
      uint64_t json_bytes = request.body().size();
      if (binary &&
          !absl::SimpleAtoi(absl::string_view(length.data(), length.size()),
                            &json_bytes)) {
        return;
      }
      const auto body = absl::MakeConstSpan(
          reinterpret_cast<const std::byte*>(request.body().data()),
          request.body().size());
      const auto tensor =
          body.subspan(std::min<size_t>(json_bytes, body.size()));
      NullAnswer answer;
      if (options_.answer != nullptr) answer = options_.answer(tensor);
      if (answer.kind == NullAnswer::Kind::kHangUp) return;
      if (answer.kind == NullAnswer::Kind::kSilence) {
        // Open until the client gives up, as with a server that hangs.
        session->socket.async_wait(asio::socket_base::wait_read,
                                   [session](error_code) {});
        return;
      }
      FillReply(answer, binary, NumRows(tensor), &session->reply);
    }
    session->reply.prepare_payload();
    http::async_write(session->socket, session->reply,
                      [this, session](error_code error, size_t) {
                        if (!error) Read(session);
                      });
  }

  /// One where nobody can tell: of JSON, and of samples of variable size.
  size_t NumRows(absl::Span<const std::byte> tensor) const {
    if (sample_bytes_ == 0) return 1;
    return std::max<size_t>(1, tensor.size() / sample_bytes_);
  }

  void FillReply(const NullAnswer& answer, bool binary, size_t num_rows,
                 http::response<http::string_body>* reply) {
    reply->result(static_cast<unsigned>(answer.status));
    if (!answer.source.empty()) reply->set("x-parm-source", answer.source);
    if (answer.status != 200) {
      reply->body() = oip::WriteError("as the test asked");
      return;
    }
    if (num_rows == 1) {
      WriteBody(replies_[binary][static_cast<size_t>(answer.predicted_class)],
                reply);
    } else {
      WriteBody(*oip::WriteInferResponse(
                    NullResponse(options_, answer.predicted_class, num_rows),
                    {}, binary),
                reply);
    }
  }

  static void WriteBody(const oip::EncodedBody& encoded,
                        http::response<http::string_body>* reply) {
    if (encoded.binary) {
      reply->set("Inference-Header-Content-Length",
                 std::to_string(encoded.json.size()));
    }
    reply->body() = encoded.json;
    for (const Buffer& tensor : encoded.tensors) {
      reply->body().append(reinterpret_cast<const char*>(tensor.bytes().data()),
                           tensor.size());
    }
  }

  const NullServerOptions options_;
  uint16_t port_ = 0;
  size_t sample_bytes_ = 0;
  // By whether they are binary, and by class.
  std::array<std::vector<oip::EncodedBody>, 2> replies_;
  asio::io_context context_{1};
  asio::ip::tcp::acceptor acceptor_{context_};
  asio::steady_timer again_{context_};
  std::thread thread_;
};

NullServer::NullServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
NullServer::~NullServer() = default;

absl::StatusOr<std::unique_ptr<NullServer>> NullServer::Create(
    NullServerOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  if (absl::Status status = impl->Start(); !status.ok()) return status;
  return std::unique_ptr<NullServer>(new NullServer(std::move(impl)));
}

uint16_t NullServer::port() const { return impl_->port(); }

}  // namespace parm
