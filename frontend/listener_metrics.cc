#include "frontend/listener_metrics.h"

#include <array>

#include "absl/strings/string_view.h"
#include "frontend/prometheus_text.h"

namespace parm {

std::string RenderHttpMetrics(const HttpCounters& counters) {
  PrometheusText out;
  out.Counter("parm_http_replies_total",
              "Final HTTP replies, by endpoint and class of status.");
  constexpr std::array<absl::string_view, 6> kClasses = {"0xx", "1xx", "2xx",
                                                         "3xx", "4xx", "5xx"};
  for (size_t i = 0; i < kNumEndpoints; ++i) {
    for (size_t j = 0; j < kClasses.size(); ++j) {
      if (counters.replies[i][j] == 0) continue;
      out.Value({{"endpoint", EndpointName(static_cast<Endpoint>(i))},
                 {"status", kClasses[j]}},
                counters.replies[i][j]);
    }
  }
  out.Counter("parm_http_connections_total", "Connections of clients.")
      .Value({{"event", "accepted"}}, counters.connections_accepted)
      .Value({{"event", "refused"}}, counters.connections_refused)
      .Value({{"event", "accept_error"}}, counters.accept_errors)
      .Value({{"event", "idle_timeout"}}, counters.idle_timeouts)
      .Value({{"event", "read_timeout"}}, counters.read_timeouts)
      .Value({{"event", "write_timeout"}}, counters.write_timeouts);
  out.Gauge("parm_http_connections", "Connections open now.")
      .Value({}, counters.connections_open);
  out.Counter("parm_http_handshakes_total",
              "TLS handshakes of HTTP clients, by how they ended.")
      .Value({{"outcome", "done"}}, counters.handshakes)
      .Value({{"outcome", "unauthorized"}}, counters.handshakes_unauthorized)
      .Value({{"outcome", "failed"}}, counters.handshakes_failed)
      .Value({{"outcome", "timed_out"}}, counters.handshake_timeouts);
  out.Counter("parm_http_bytes_total", "Bytes from and to clients.")
      .Value({{"direction", "received"}}, counters.bytes_received)
      .Value({{"direction", "sent"}}, counters.bytes_sent);
  out.Counter("parm_http_rejected_total", "What clients sent and we refused.")
      .Value({{"reason", "frame"}}, counters.rejected_frames)
      .Value({{"reason", "body"}}, counters.rejected_bodies)
      .Value({{"reason", "buffers_full"}}, counters.shed_bodies);
  out.Counter("parm_http_abandoned_total",
              "Queries whose client went before their answer.")
      .Value({}, counters.abandoned);
  return out.Text();
}

std::string RenderGrpcMetrics(const GrpcCounters& counters) {
  PrometheusText out;
  out.Counter("parm_grpc_replies_total",
              "Ended gRPC calls, by method and status code.");
  for (size_t i = 0; i < kNumGrpcMethods; ++i) {
    for (size_t j = 0; j < kNumGrpcCodes; ++j) {
      if (counters.ended[i][j] == 0) continue;
      out.Value({{"method", GrpcMethodName(static_cast<GrpcMethod>(i))},
                 {"code", GrpcCodeName(j)}},
                counters.ended[i][j]);
    }
  }
  out.Gauge("parm_grpc_open", "Inference calls and streams open now.")
      .Value({{"type", "call"}}, counters.open_calls)
      .Value({{"type", "stream"}}, counters.open_streams);
  out.Counter("parm_grpc_stream_queries_total", "Queries on streams.")
      .Value({}, counters.stream_queries);
  out.Counter("parm_grpc_stream_errors_total",
              "Of those, queries answered with an error.")
      .Value({}, counters.stream_errors);
  out.Counter("parm_grpc_bytes_total",
              "Bytes of inference messages from and to clients.")
      .Value({{"direction", "received"}}, counters.bytes_received)
      .Value({{"direction", "sent"}}, counters.bytes_sent);
  out.Counter("parm_grpc_rejected_total", "What clients sent and we refused.")
      .Value({{"reason", "message"}}, counters.rejected_messages)
      .Value({{"reason", "calls"}}, counters.shed_calls)
      .Value({{"reason", "buffers_full"}}, counters.shed_bytes);
  out.Counter("parm_grpc_abandoned_total",
              "Queries whose client cancelled or went before their answer.")
      .Value({}, counters.abandoned);
  return out.Text();
}

std::string RenderTlsMetrics(const PortsTls& tls) {
  if (!tls.http.identity && !tls.grpc.identity) return "";
  PrometheusText out;
  out.Gauge("parm_tls_certificate_end_seconds",
            "When the port's certificate ends, in seconds since 1970.");
  if (tls.http.identity) {
    out.Value({{"port", "http"}},
              static_cast<double>(tls.http.identity->not_after_unix_s));
  }
  if (tls.grpc.identity) {
    out.Value({{"port", "grpc"}},
              static_cast<double>(tls.grpc.identity->not_after_unix_s));
  }
  return out.Text();
}

}  // namespace parm
