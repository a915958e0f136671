#include <cstdlib>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "parity_trainer/training_peers.h"

namespace parm {
namespace {

constexpr int kMaxPeers = 1024;

absl::string_view Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? absl::string_view() : absl::string_view(value);
}

absl::StatusOr<int> ReadNumber(const char* name, int least, int most) {
  const absl::string_view text = Variable(name);
  int number = 0;
  if (absl::SimpleAtoi(text, &number) && number >= least && number <= most) {
    return number;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("environment variable is wrong: got ", name, "=\"", text,
                   "\", want ", least, " to ", most));
}

}  // namespace

absl::StatusOr<PeerOptions> PeerOptionsFromEnvironment() {
  PeerOptions options;
  if (Variable("WORLD_SIZE").empty()) return options;
  PARM_ASSIGN_OR_RETURN(options.num_peers,
                        ReadNumber("WORLD_SIZE", 1, kMaxPeers));
  if (options.num_peers == 1) return options;
  PARM_ASSIGN_OR_RETURN(options.rank,
                        ReadNumber("RANK", 0, options.num_peers - 1));
  PARM_ASSIGN_OR_RETURN(
      const int port,
      ReadNumber("MASTER_PORT", 1, std::numeric_limits<uint16_t>::max()));
  options.port = static_cast<uint16_t>(port);
  options.address = std::string(Variable("MASTER_ADDR"));
  if (options.address.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "environment variable is missing: WORLD_SIZE=", options.num_peers,
        " wants MASTER_ADDR, the address of rank 0"));
  }
  options.launcher_listens = Variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  return options;
}

}  // namespace parm
