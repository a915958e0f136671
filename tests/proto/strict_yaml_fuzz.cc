// Any text as each of the three schemas that are read from YAML: refused with
// file and line, or read to a message that survives the way back.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "base/status_macros.h"
#include "proto/bundle.pb.h"
#include "proto/config.pb.h"
#include "proto/manifest_check.h"
#include "proto/strict_yaml.h"

namespace parm {
namespace {

void CheckError(const absl::Status& status) {
  PARM_CHECK(absl::IsInvalidArgument(status));
  PARM_CHECK(absl::StartsWith(status.message(), "fuzz.yaml:"));
}

template <typename Message>
void ParseAndCheck(absl::string_view yaml) {
  Message message;
  YamlLines lines;
  if (absl::Status status =
          ParseStrictYaml(yaml, "fuzz.yaml", &message, &lines);
      !status.ok()) {
    return CheckError(status);
  }
  Message again;
  PARM_CHECK(ParseStrictYaml(WriteYaml(message), "again.yaml", &again).ok());
  PARM_CHECK(again.SerializeAsString() == message.SerializeAsString());
  if constexpr (std::is_same_v<Message, bundle::Manifest>) {
    if (absl::Status status = CheckManifest(message, "fuzz.yaml", lines);
        !status.ok()) {
      CheckError(status);
    }
  }
}

}  // namespace
}  // namespace parm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view yaml(reinterpret_cast<const char*>(data), size);
  parm::ParseAndCheck<parm::config::FrontendConfig>(yaml);
  parm::ParseAndCheck<parm::config::WorkerConfig>(yaml);
  parm::ParseAndCheck<parm::bundle::Manifest>(yaml);
  return 0;
}
