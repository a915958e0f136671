#pragma once

// A blocking TCP client that sends whatever bytes a test wants, well-formed
// HTTP or not, and reads replies apart. Loopback only. Every wait is bounded by
// kWaitSeconds, after which reads come back empty.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>

namespace parm {

struct RawReply {
  int status = 0;                              // 0: the connection ended first
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

class RawHttpClient {
 public:
  static constexpr int kWaitSeconds = 60;

  /// `receive_buffer_bytes`: SO_RCVBUF, for a client that reads slowly.
  explicit RawHttpClient(uint16_t port, int receive_buffer_bytes = 0)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval wait{.tv_sec = kWaitSeconds, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    if (receive_buffer_bytes > 0) {
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                 sizeof(receive_buffer_bytes));
    }
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address),
                         sizeof(address)) == 0;
  }
  RawHttpClient(const RawHttpClient&) = delete;
  RawHttpClient& operator=(const RawHttpClient&) = delete;
  virtual ~RawHttpClient() { Close(); }

  bool connected() const { return connected_; }

  /// False if the peer took no more.
  bool Send(const std::string& bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t n = Transmit(bytes.data() + sent, bytes.size() - sent);
      if (n <= 0) return false;
      sent += static_cast<size_t>(n);
    }
    return true;
  }

  /// The next reply, interim ones (100) included. `has_body`: false for HEAD.
  RawReply ReadReply(bool has_body = true) {
    size_t end;
    while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
      if (!ReadMore()) return {};
    }
    RawReply reply = ParseHead(received_.substr(0, end + 2));
    received_.erase(0, end + 4);
    const auto length = reply.headers.find("content-length");
    if (!has_body || length == reply.headers.end()) return reply;
    const size_t size = std::strtoul(length->second.c_str(), nullptr, 10);
    while (received_.size() < size) {
      if (!ReadMore()) return {};
    }
    reply.body = received_.substr(0, size);
    received_.erase(0, size);
    return reply;
  }

  /// Send, then ReadReply.
  RawReply Ask(const std::string& bytes) {
    if (!Send(bytes)) return {};
    return ReadReply();
  }

  /// True if the peer ends the connection without sending anything more.
  bool AtEnd() { return received_.empty() && !ReadMore() && !timed_out_; }

  void ShutdownSend() { shutdown(fd_, SHUT_WR); }

  /// True if the peer reset the connection in place of an orderly end.
  /// Needs: AtEnd() has said that it ended.
  bool WasReset() const { return reset_; }

  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

  /// Closes with a reset in place of an orderly end.
  void Reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    Close();
  }

 protected:
  int descriptor() const { return fd_; }
  // As send and recv.
  virtual ssize_t Transmit(const char* bytes, size_t size) {
    return send(fd_, bytes, size, MSG_NOSIGNAL);
  }
  virtual ssize_t Fetch(char* bytes, size_t size) {
    return recv(fd_, bytes, size, 0);
  }

 private:
  bool ReadMore() {
    char bytes[65536];
    const ssize_t n = Fetch(bytes, sizeof(bytes));
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) timed_out_ = true;
    if (n < 0 && errno == ECONNRESET) reset_ = true;
    if (n <= 0) return false;
    received_.append(bytes, static_cast<size_t>(n));
    return true;
  }

  static RawReply ParseHead(const std::string& head) {
    RawReply reply;
    const size_t space = head.find(' ');
    if (space != std::string::npos) {
      reply.status = std::atoi(head.c_str() + space);
    }
    size_t line = head.find("\r\n") + 2;
    while (line < head.size()) {
      const size_t end = head.find("\r\n", line);
      const size_t colon = head.find(':', line);
      if (colon >= end) break;
      std::string name = head.substr(line, colon - line);
      for (char& c : name) {
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      }
      const size_t value = head.find_first_not_of(' ', colon + 1);
      reply.headers[name] = head.substr(value, end - value);
      line = end + 2;
    }
    return reply;
  }

  int fd_;
  bool connected_ = false;
  bool timed_out_ = false;
  bool reset_ = false;
  std::string received_;
};

}  // namespace parm
