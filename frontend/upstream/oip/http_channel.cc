#include "frontend/upstream/oip/http_channel.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/upstream/oip/reply_translation.h"
#include "frontend/upstream/oip/server_connections.h"
#include "frontend/upstream/oip/server_dialect.h"
#include "proto/oip/infer_response_codec.h"
#include "proto/oip/metadata_json.h"

namespace parm {
namespace {

ServerConnectionsOptions ConnectionsOf(const ServerChannelParts& parts) {
  const OipServerOptions& server = *parts.server;
  ServerConnectionsOptions options;
  options.host = server.url.host;
  options.port = server.url.port;
  // The core counts a task that is past its deadline no more, but its exchange
  // goes on; and health is asked for beside them all.
  options.max_connections = 2 * size_t{server.max_in_flight} + 2;
  options.connect_timeout = parts.all->connect_timeout;
  options.limits.max_body_bytes = parts.all->max_reply_bytes;
  options.max_drained_bytes = parts.all->max_drained_bytes;
  return options;
}

absl::string_view TextOf(const oip::Body& body) {
  return absl::string_view(
      reinterpret_cast<const char*>(body.storage.bytes().data()), body.size);
}

template <typename Content>
void Take(absl::StatusOr<Content> content, ServerAnswer* answer) {
  answer->status = content.status();
  answer->retryable = !content.ok();
  if (content.ok()) answer->content = *std::move(content);
}

class HttpChannel final : public ServerChannel {
 public:
  explicit HttpChannel(ServerChannelParts parts)
      : server_(*parts.server),
        connections_(*parts.loop, ConnectionsOf(parts),
                     std::move(parts.on_closed_idle), parts.counters) {
    for (const OipServedModel& model : server_.serves) {
      paths_.push_back(ModelPath(model));
    }
    dialect_.kind = server_.kind;
  }

  absl::StatusOr<uint64_t> Ask(ServerQuestion question, size_t model,
                               Time give_up, Done done) override {
    return Send(question, GetRequest(server_.url, PathOf(question, model)),
                give_up, std::move(done));
  }

  absl::StatusOr<uint64_t> Infer(size_t model, oip::InferRequest request,
                                 Time give_up, Done done) override {
    request.binary_outputs = dialect_.binary;
    PARM_ASSIGN_OR_RETURN(
        ServerRequest message,
        InferRequestTo(server_.url, paths_.at(model), dialect_, request));
    // A step of a sequence: the server's state would have it twice.
    message.once = std::any_of(
        request.parameters.begin(), request.parameters.end(),
        [](const auto& parameter) { return parameter.first == "sequence_id"; });
    return Send(ServerQuestion::kInfer, std::move(message), give_up,
                std::move(done));
  }

  void Drop(uint64_t exchange) override { connections_.Drop(exchange); }
  void CloseAll() override { connections_.CloseAll(); }
  void Sweep(Time now) override { connections_.Sweep(now); }
  size_t num_busy() const override { return connections_.num_busy(); }
  ServerKind kind() const override { return dialect_.kind; }

 private:
  std::string PathOf(ServerQuestion question, size_t model) const {
    switch (question) {
      case ServerQuestion::kReady:
        return "/v2/health/ready";
      case ServerQuestion::kMetadata:
        return "/v2";
      case ServerQuestion::kModelReady:
        return absl::StrCat(paths_.at(model), "/ready");
      default:
        return paths_.at(model);
    }
  }

  absl::StatusOr<uint64_t> Send(ServerQuestion question, ServerRequest request,
                                Time give_up, Done done) {
    return connections_.Ask(
        std::move(request), give_up,
        [this, question, done = std::move(done)](ExchangeResult result) {
          done(Understand(question, std::move(result)));
        });
  }

  ServerAnswer Understand(ServerQuestion question, ExchangeResult result) {
    ServerAnswer answer{.end = result.end};
    if (result.end != ExchangeEnd::kReplied) {
      answer.status = absl::InternalError(result.error);
      answer.retryable = true;
      return answer;
    }
    if (question == ServerQuestion::kMetadata) {
      dialect_ =
          DialectOf(server_.kind, result.reply.status == 200 ? result.reply.body
                                                             : oip::Body());
    }
    return UnderstandReply(question, result.reply, &parser_);
  }

  const OipServerOptions& server_;
  std::vector<std::string> paths_;  // by model
  ServerDialect dialect_;
  oip::InferResponseParser parser_;
  ServerConnections connections_;
};

}  // namespace

ServerAnswer UnderstandReply(ServerQuestion question, const ServerReply& reply,
                             oip::InferResponseParser* parser) {
  ServerAnswer answer;
  if (reply.status != 200) {
    const std::string sentence = oip::ParseError(TextOf(reply.body));
    const ServerVerdict verdict = VerdictOf(reply.status, sentence);
    answer.status = absl::Status(
        verdict.code, absl::StrCat("HTTP ", reply.status, ": ", sentence));
    answer.retryable = verdict.retryable;
  } else if (question == ServerQuestion::kModelMetadata) {
    Take(oip::ParseModelMetadata(reply.body), &answer);
  } else if (question == ServerQuestion::kInfer) {
    Take(parser->Parse(reply.body), &answer);
  }
  return answer;
}

std::unique_ptr<ServerChannel> MakeHttpChannel(ServerChannelParts parts) {
  return std::make_unique<HttpChannel>(std::move(parts));
}

}  // namespace parm
