#pragma once

// One HTTP/1.1 connection: reads requests, hands them to the handler, writes
// the replies in the order of the requests. Steps [1] and [7] of a query's
// life. Internal to frontend/serve/: it includes Asio.
//
//   socket -> read buffer -> RequestParser -> HttpHandler::Handle
//                 \-> body (Content-Length: straight into one Buffer)
//   socket <- slots, a ring in request order <- ReplySlot::Send
//
// The socket is a ClientStream: TLS, if the port has certificates.
//
// The bytes of a body that arrive together with its head are copied once out of
// the read buffer; all others are received where they stay.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "frontend/serve/client_stream.h"
#include "frontend/serve/http_counters.h"
#include "frontend/serve/http_message.h"
#include "frontend/serve/http_options.h"
#include "frontend/serve/request_parser.h"

namespace parm {

/// What the connections of a listener share. They outlive neither it nor its
/// handler: it closes them all first.
struct ListenerState {
  const HttpOptions& options;
  HttpHandler* handler;
  HttpCounters* counters;
  /// The time of the last tick: no clock is read per request.
  Time now;
  /// Against options.max_buffered_bytes.
  size_t buffered_bytes = 0;
  /// Called once by each connection, as the last thing of its Close.
  std::function<void(HttpConnection*)> on_closed;
};

/// Shared, because an operation on the socket may still be under way when the
/// connection is closed and its listener forgets it.
/// Threads: the loop's alone.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  /// `tls` null: plain.
  HttpConnection(LoopSocket socket, std::shared_ptr<const TlsContext> tls,
                 ListenerState* listener);

  void Start();

  /// See ReplySlot.
  void Reply(uint64_t sequence, HttpReply reply);

  /// Applies the timeouts. Needs: listener->now is up to date.
  void Tick();

  /// Ends the connection behind the last reply that is due on it, or soon if
  /// there is none; a request that is not here as a whole is refused.
  void BeginDrain();

  /// Abandons what is unanswered and closes the socket at once.
  void Close();

  bool closed() const { return closed_; }

 private:
  enum class Reading {
    kHead,
    kBody,
    kChunks,
    kDiscard,  // No further request is taken; what comes is thrown away.
  };

  /// One request from its head to its reply.
  struct Slot {
    uint64_t token = 0;  // to abandon it with; 0: nothing to abandon
    int http_version = 11;
    bool ready = false;
    bool head_only = false;
    bool close = false;  // the last reply of the connection
    HttpReply reply;
  };

  // Reading.
  void StartRead();
  void OnRead(boost::system::error_code error, size_t size);
  void OnPeerClosed();
  void OnNoHandshake();
  void Process();
  bool ProcessHead();
  bool ProcessBody();
  bool ProcessChunks();
  bool StartBody();
  void Dispatch(oip::Body body);
  void Refuse(int status, absl::string_view sentence);
  absl::string_view Unread() const;
  void Consume(size_t size);
  void Reserve(size_t size);
  void Shed();
  void ReleaseBody();

  // Writing.
  Slot& PushSlot();
  Slot& SlotAt(size_t index);
  void AbandonSlot(const Slot& slot);
  void Pump();
  void OnWritten(boost::system::error_code error, size_t size);
  void FinishFront();
  void Linger();
  bool IsIdle() const;

  ClientStream stream_;
  ListenerState* const listener_;

  std::vector<char> buffer_;  // [begin_, end_) is unread
  size_t begin_ = 0;
  size_t end_ = 0;
  RequestParser parser_;
  Reading reading_ = Reading::kHead;
  oip::Body body_;  // kBody: being filled
  std::byte* body_data_ = nullptr;
  size_t body_received_ = 0;
  size_t body_reserved_ = 0;  // of listener_->buffered_bytes
  size_t discarded_bytes_ = 0;

  std::vector<Slot> ring_;  // max_pipelined, and one for an interim reply
  size_t front_ = 0;
  size_t num_slots_ = 0;
  uint64_t front_sequence_ = 1;
  std::string head_;  // of the reply that is being written
  std::vector<boost::asio::const_buffer> pieces_;

  bool read_pending_ = false;
  bool reading_into_body_ = false;  // the last read; else into buffer_
  bool request_begun_ = false;      // some of a request is here
  bool writing_ = false;
  bool processing_ = false;
  bool peer_closed_ = false;
  bool lingering_ = false;
  bool draining_ = false;
  bool closed_ = false;
  Time request_since_;
  Time write_since_;
  Time idle_since_;
  Time linger_since_;
  Time drain_since_;
};

}  // namespace parm
