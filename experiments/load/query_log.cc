#include "experiments/load/query_log.h"

#include "absl/strings/str_format.h"

namespace parm {

std::string QueryLogCsv(absl::Span<const LoggedQuery> queries) {
  std::string csv = "due_s,latency_ms,outcome\n";
  for (const LoggedQuery& query : queries) {
    absl::StrAppendFormat(&csv, "%.6f,%.4f,%s\n", ToSeconds(query.due),
                          ToSeconds(query.latency) * 1e3,
                          OutcomeName(query.outcome));
  }
  return csv;
}

}  // namespace parm
