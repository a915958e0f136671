#pragma once

// Names of model servers to addresses: a name with several addresses stands for
// several servers, each of which is a worker.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "boost/asio/io_context.hpp"

namespace parm {

/// Threads: the loop's only; it never waits for an answer.
class NameResolver {
 public:
  /// Numeric addresses, those to be preferred first. What went wrong is a
  /// status of any code.
  using Done = std::function<void(absl::StatusOr<std::vector<std::string>>)>;

  /// No `done` runs afterwards.
  virtual ~NameResolver() = default;
  /// `done` runs on the loop, never inside this call.
  virtual void Resolve(const std::string& name, Done done) = 0;
};

/// The system's, getaddrinfo, on the thread that Asio has for it: one name
/// after the other.
std::unique_ptr<NameResolver> MakeSystemResolver(boost::asio::io_context& loop);

/// The servers that a name stands for.
struct NamedServers {
  /// One, at an address of either family: connecting tries both, as the name
  /// itself does.
  bool by_name = false;
  std::vector<std::string> addresses;  // sorted, one for each server; else

  bool operator==(const NamedServers&) const = default;
};

/// A name with one address of each family, as localhost often is, is one
/// server. Else a server has one address, and all are of one family: that of
/// `before` where there still are such, or of the first. Needs: addresses are
/// numeric.
NamedServers ServersAt(const std::vector<std::string>& addresses,
                       const NamedServers& before);

}  // namespace parm
