#pragma once

// A relay of TCP connections to a server at 127.0.0.1, on the test's loop,
// which may swallow them as a network does: they do not end, and carry nothing.

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace parm {

class SwallowingRelay {
 public:
  SwallowingRelay(boost::asio::io_context& loop, uint16_t server_port)
      : acceptor_(loop, Loopback(0)), server_(Loopback(server_port)) {
    Accept();
  }
  ~SwallowingRelay() {
    acceptor_.close();
    for (const auto& pair : pairs_) pair->Close();
  }
  SwallowingRelay(const SwallowingRelay&) = delete;
  SwallowingRelay& operator=(const SwallowingRelay&) = delete;

  uint16_t port() const { return acceptor_.local_endpoint().port(); }

  /// The connections that there are; those that come later are carried.
  void Swallow() {
    for (const auto& pair : pairs_) pair->swallowed = true;
  }

 private:
  using tcp = boost::asio::ip::tcp;
  using error_code = boost::system::error_code;

  struct Way {
    tcp::socket* from;
    tcp::socket* to;
    std::array<char, 65536> bytes;
  };
  struct Pair : std::enable_shared_from_this<Pair> {
    Pair(tcp::socket one, tcp::socket other)
        : client(std::move(one)), server(std::move(other)) {}

    void Carry(Way* way) {
      way->from->async_read_some(
          boost::asio::buffer(way->bytes),
          [self = shared_from_this(), way](error_code error, size_t size) {
            if (self->swallowed) return error ? void() : self->Carry(way);
            if (error) return self->Close();
            boost::asio::async_write(
                *way->to, boost::asio::buffer(way->bytes.data(), size),
                [self, way](error_code failed, size_t) {
                  failed ? self->Close() : self->Carry(way);
                });
          });
    }
    void Close() {
      error_code ignored;
      client.close(ignored);
      server.close(ignored);
    }

    tcp::socket client;
    tcp::socket server;
    Way there{.from = &client, .to = &server, .bytes = {}};
    Way back{.from = &server, .to = &client, .bytes = {}};
    bool swallowed = false;
  };

  static tcp::endpoint Loopback(uint16_t port) {
    return {boost::asio::ip::address_v4::loopback(), port};
  }

  void Accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket client) {
      if (error) return;
      tcp::socket server(acceptor_.get_executor());
      server.connect(server_, error);
      if (!error) {
        pairs_.push_back(
            std::make_shared<Pair>(std::move(client), std::move(server)));
        pairs_.back()->Carry(&pairs_.back()->there);
        pairs_.back()->Carry(&pairs_.back()->back);
      }
      Accept();
    });
  }

  tcp::acceptor acceptor_;
  const tcp::endpoint server_;
  std::vector<std::shared_ptr<Pair>> pairs_;
};

}  // namespace parm
