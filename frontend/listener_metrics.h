#pragma once

// What the listeners count, as Prometheus text: the part of GET /metrics that
// concerns clients' connections. frontend/README.md lists the names.

#include <string>

#include "frontend/frontend_config.h"
#include "frontend/serve/grpc/grpc_counters.h"
#include "frontend/serve/http_counters.h"

namespace parm {

/// What the HTTP listener counts, as further text.
std::string RenderHttpMetrics(const HttpCounters& counters);

/// What the gRPC listener counts, likewise.
std::string RenderGrpcMetrics(const GrpcCounters& counters);

/// Until when the ports' certificates are good; empty where none speaks TLS.
std::string RenderTlsMetrics(const PortsTls& tls);

}  // namespace parm
