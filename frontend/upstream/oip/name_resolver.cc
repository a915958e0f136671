#include "frontend/upstream/oip/name_resolver.h"

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"

namespace parm {
namespace {

using boost::asio::ip::tcp;

class SystemResolver final : public NameResolver {
 public:
  explicit SystemResolver(boost::asio::io_context& loop) : resolver_(loop) {}
  ~SystemResolver() override { *alive_ = false; }

  void Resolve(const std::string& name, Done done) override {
    resolver_.async_resolve(
        name, "",
        [alive = alive_, done = std::move(done)](
            const boost::system::error_code& error,
            const tcp::resolver::results_type& found) {
          if (!*alive) return;
          if (error) return done(absl::UnavailableError(error.message()));
          std::vector<std::string> addresses;
          for (const auto& entry : found) {
            addresses.push_back(entry.endpoint().address().to_string());
          }
          done(std::move(addresses));
        });
  }

 private:
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  tcp::resolver resolver_;
};

bool IsV6(const std::string& address) {
  return absl::StrContains(address, ':');
}

void SortUnique(std::vector<std::string>* addresses) {
  std::sort(addresses->begin(), addresses->end());
  addresses->erase(std::unique(addresses->begin(), addresses->end()),
                   addresses->end());
}

}  // namespace

std::unique_ptr<NameResolver> MakeSystemResolver(
    boost::asio::io_context& loop) {
  return std::make_unique<SystemResolver>(loop);
}

NamedServers ServersAt(const std::vector<std::string>& addresses,
                       const NamedServers& before) {
  NamedServers out;
  if (addresses.empty()) return out;
  std::vector<std::string> families[2];  // IPv4, IPv6
  for (const std::string& address : addresses) {
    families[IsV6(address) ? 1 : 0].push_back(address);
  }
  SortUnique(&families[0]);
  SortUnique(&families[1]);
  if (families[0].size() == 1 && families[1].size() == 1) {
    out.by_name = true;
    return out;
  }
  const std::string& leading =
      before.addresses.empty() ? addresses[0] : before.addresses[0];
  std::vector<std::string>& first = families[IsV6(leading) ? 1 : 0];
  std::vector<std::string>& other = families[IsV6(leading) ? 0 : 1];
  out.addresses = std::move(first.empty() ? other : first);
  return out;
}

}  // namespace parm
