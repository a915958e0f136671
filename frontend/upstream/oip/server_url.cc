#include <boost/asio/ip/address.hpp>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "frontend/upstream/oip/oip_options.h"

namespace parm {

absl::StatusOr<ServerUrl> ParseServerUrl(absl::string_view url) {
  const auto error = [url] {
    return absl::InvalidArgumentError(
        absl::StrCat("got \"", url,
                     "\", want http://HOST[:PORT][/BASE] or grpc://HOST:PORT"));
  };
  ServerUrl out;
  absl::string_view rest = url;
  if (absl::ConsumePrefix(&rest, "grpc://")) {
    out.protocol = ServerProtocol::kGrpc;
  } else if (!absl::ConsumePrefix(&rest, "http://")) {
    return error();
  }
  for (const char c : rest) {
    // These would end a header line, or mean what is not supported here.
    if (c <= ' ' || c == '@' || c == '?' || c == '#' || c == 0x7f) {
      return error();
    }
  }
  const size_t slash = rest.find('/');
  if (slash != absl::string_view::npos) {
    absl::string_view base = rest.substr(slash);
    while (absl::EndsWith(base, "/")) base.remove_suffix(1);
    out.base = std::string(base);
    rest = rest.substr(0, slash);
  }
  out.host_header = std::string(rest);
  absl::string_view port;
  if (absl::StartsWith(rest, "[")) {
    const size_t close = rest.find(']');
    if (close == absl::string_view::npos) return error();
    out.host = std::string(rest.substr(1, close - 1));
    rest = rest.substr(close + 1);
    if (!rest.empty() && rest[0] != ':') return error();
    port = rest.empty() ? rest : rest.substr(1);
    if (!rest.empty() && port.empty()) return error();
  } else {
    const size_t colon = rest.find(':');
    out.host = std::string(rest.substr(0, colon));
    if (colon != absl::string_view::npos) {
      port = rest.substr(colon + 1);
      if (port.empty()) return error();
    }
  }
  uint32_t number = out.port;
  if (!port.empty() &&
      (!absl::SimpleAtoi(port, &number) || number < 1 || number > UINT16_MAX)) {
    return error();
  }
  out.port = static_cast<uint16_t>(number);
  if (out.host.empty()) return error();
  boost::system::error_code not_numeric;
  boost::asio::ip::make_address(out.host, not_numeric);
  out.numeric = !not_numeric;
  if (out.protocol == ServerProtocol::kGrpc &&
      (port.empty() || slash != absl::string_view::npos)) {
    return error();
  }
  return out;
}

}  // namespace parm
