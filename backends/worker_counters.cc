#include "backends/worker_counters.h"

#include "absl/strings/str_cat.h"

namespace parm {

std::string WorkerCounters::ToString() const {
  const struct {
    const char* name;
    uint64_t value;
  } rows[] = {
      {"tasks", tasks},
      {"replies_ok", replies_ok},
      {"replies_error", replies_error},
      {"replies_cancelled", replies_cancelled},
      {"replies_expired", replies_expired},
      {"messages_malformed", messages_malformed},
      {"messages_unexpected", messages_unexpected},
      {"tasks_duplicate", tasks_duplicate},
      {"tasks_misfit", tasks_misfit},
      {"tasks_refused", tasks_refused},
      {"tasks_orphaned", tasks_orphaned},
      {"model_errors", model_errors},
      {"non_finite_inputs", non_finite_inputs},
      {"non_finite_outputs", non_finite_outputs},
      {"replies_undelivered", replies_undelivered},
      {"peers_refused", peers_refused},
      {"handshakes_refused", handshakes_refused},
      {"faults_injected", faults_injected},
  };
  std::string text;
  for (const auto& row : rows) {
    if (row.value == 0) continue;
    absl::StrAppend(&text, text.empty() ? "" : " ", row.name, "=", row.value);
  }
  return text.empty() ? "nothing was asked of it" : text;
}

}  // namespace parm
