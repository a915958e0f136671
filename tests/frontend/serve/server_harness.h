#pragma once

// An HttpServer over FakeQueryService on a thread of its own, so that a test
// may use blocking sockets. Whatever touches server or service runs OnLoop.

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/serve/http_server.h"
#include "tests/frontend/serve/fake_query_service.h"
#include "tests/support/raw_http_client.h"

namespace parm {

class ServerHarness {
 public:
  explicit ServerHarness(const HttpOptions& options = {},
                         int64_t num_values = 4)
      : io_(1), service_(io_, num_values) {
    auto server = HttpServer::Create(io_, options, &service_);
    PARM_CHECK(server.ok());
    server_ = *std::move(server);
    port_ = server_->port();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~ServerHarness() {
    io_.stop();
    thread_.join();
  }

  uint16_t port() const { return port_; }
  FakeQueryService& service() { return service_; }
  HttpServer& server() { return *server_; }

  /// Runs `work` on the loop and returns what it returns.
  template <typename Work>
  auto OnLoop(Work work) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto result = task.get_future();
    boost::asio::post(io_, [&task] { task(); });
    return result.get();
  }

  /// Lets the loop turn until `predicate`, asked on the loop, is true.
  template <typename Predicate>
  bool Await(Predicate predicate) {
    const auto end = std::chrono::steady_clock::now() +
                     std::chrono::seconds(RawHttpClient::kWaitSeconds);
    while (std::chrono::steady_clock::now() < end) {
      if (OnLoop(predicate)) return true;
      std::this_thread::yield();
    }
    return false;
  }

  void DestroyServer() {
    OnLoop([this] { server_ = nullptr; });
  }

  HttpCounters Counters() {
    return OnLoop([this] { return server_->counters(); });
  }

  /// Waits until the service holds `count` queries.
  bool AwaitHeld(size_t count) {
    return Await([&] { return service_.held().size() == count; });
  }

 private:
  boost::asio::io_context io_;
  const boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
      work_ = boost::asio::make_work_guard(io_);
  FakeQueryService service_;
  std::unique_ptr<HttpServer> server_;
  uint16_t port_ = 0;
  std::thread thread_;
};

/// A request with a body and further header lines ("Name: value\r\n").
inline std::string Request(const std::string& verb, const std::string& target,
                           const std::string& headers = "",
                           const std::string& body = "") {
  return absl::StrCat(
      verb, " ", target, " HTTP/1.1\r\nHost: test\r\n", headers,
      body.empty() ? "" : absl::StrCat("Content-Length: ", body.size(), "\r\n"),
      "\r\n", body);
}

inline constexpr char kInferTarget[] = "/v2/models/echo/infer";
/// What the echo model takes, as JSON.
inline constexpr char kGoodJson[] =
    R"({"inputs":[{"name":"INPUT","datatype":"FP32","shape":[1,4],)"
    R"("data":[1,2,3,4.5]}]})";

inline std::string InferRequestText(const std::string& headers = "",
                                    const std::string& body = kGoodJson) {
  return Request("POST", kInferTarget, headers, body);
}

}  // namespace parm
