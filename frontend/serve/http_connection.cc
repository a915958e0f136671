#include "frontend/serve/http_connection.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

/// One receive takes a request of a usual size, head and body.
constexpr size_t kReadAheadBytes = size_t{16} << 10;
/// After the last reply the peer has this long to close its side: closing first
/// would reset the connection and may destroy the reply on its way.
constexpr Duration kLingerTime = Milliseconds(2'000);
/// In a drain, how long a connection without a request still takes one, which
/// may be on its way: closed at once, it would be lost with the connection.
constexpr Duration kDrainGrace = Milliseconds(500);
/// What a peer may go on sending after a request was refused.
constexpr size_t kMaxDiscardedBytes = size_t{64} << 20;
/// The interim reply to Expect: 100-continue.
constexpr int kContinue = 100;

size_t MemoryOf(const HttpReply& reply) { return reply.body.TotalBytes(); }

}  // namespace

void ReplySlot::Send(HttpReply reply) const {
  connection_->Reply(sequence_, std::move(reply));
}

HttpConnection::HttpConnection(LoopSocket socket,
                               std::shared_ptr<const TlsContext> tls,
                               ListenerState* listener)
    : stream_(std::move(socket), std::move(tls), listener->counters),
      listener_(listener),
      buffer_(std::max(kReadAheadBytes, listener->options.max_header_bytes)),
      parser_(listener->options.max_header_bytes,
              listener->options.max_body_bytes),
      ring_(listener->options.max_pipelined + 1),
      idle_since_(listener->now) {
  pieces_.reserve(8);
}

void HttpConnection::Start() {
  stream_.Open();
  StartRead();
}

absl::string_view HttpConnection::Unread() const {
  return absl::string_view(buffer_.data() + begin_, end_ - begin_);
}

void HttpConnection::Consume(size_t size) {
  begin_ += size;
  if (begin_ == end_) begin_ = end_ = 0;
}

void HttpConnection::StartRead() {
  if (read_pending_ || closed_ || peer_closed_) return;
  asio::mutable_buffer target;
  reading_into_body_ = reading_ == Reading::kBody;
  if (reading_into_body_) {
    target = asio::mutable_buffer(body_data_ + body_received_,
                                  body_.size - body_received_);
  } else {
    if (begin_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    target = asio::mutable_buffer(buffer_.data() + end_, buffer_.size() - end_);
  }
  read_pending_ = true;
  stream_.AsyncRead(target,
                    [self = shared_from_this()](error_code error, size_t size) {
                      self->OnRead(error, size);
                    });
}

void HttpConnection::OnRead(error_code error, size_t size) {
  read_pending_ = false;
  if (closed_) return;
  if (error && stream_.handshaking()) return OnNoHandshake();
  if (error == asio::error::eof) return OnPeerClosed();
  if (error) return Close();
  listener_->counters->bytes_received += size;
  if (!reading_into_body_) {
    end_ += size;
  } else if (reading_ == Reading::kBody) {
    body_received_ += size;
    Reserve(size);
  } else {
    ReleaseBody();  // It was given up while this read was under way.
  }
  Process();
}

void HttpConnection::OnPeerClosed() {
  peer_closed_ = true;
  reading_ = Reading::kDiscard;
  ReleaseBody();
  // Nobody reads an answer that is still to be made. Those that are ready are
  // sent: the peer may have closed its sending side only.
  size_t num_ready = 0;
  while (num_ready < num_slots_ && SlotAt(num_ready).ready) ++num_ready;
  for (size_t i = num_ready; i < num_slots_; ++i) {
    Slot& slot = SlotAt(i);
    if (slot.ready) {
      listener_->buffered_bytes -= MemoryOf(slot.reply);
    } else {
      AbandonSlot(slot);
    }
    slot = Slot();
  }
  num_slots_ = num_ready;
  if (num_slots_ == 0) Close();
}

/// The library has sent its alert, which the peer is given the time to read.
void HttpConnection::OnNoHandshake() {
  const TlsSession::Failure failure = stream_.failure();
  ++(failure == TlsSession::Failure::kCertificate
         ? listener_->counters->handshakes_unauthorized
         : listener_->counters->handshakes_failed);
  stream_.BecomePlain();
  if (failure == TlsSession::Failure::kPlainHttp) {
    return Refuse(400, "this port speaks TLS: want https://");
  }
  Linger();
}

/// Takes from the read buffer what can be taken, then reads on.
void HttpConnection::Process() {
  // A reply from inside Handle made room: the loop below sees it. And while a
  // read is under way the buffer is not ours to move.
  if (processing_ || read_pending_) return;
  processing_ = true;
  bool progress = true;
  while (progress && !closed_) {
    switch (reading_) {
      case Reading::kHead:
        // Bounds what waits here; FinishFront comes back when there is room.
        if (num_slots_ >= listener_->options.max_pipelined) {
          processing_ = false;
          return;
        }
        progress = ProcessHead();
        break;
      case Reading::kBody:
        progress = ProcessBody();
        break;
      case Reading::kChunks:
        progress = ProcessChunks();
        break;
      case Reading::kDiscard:
        discarded_bytes_ += end_ - begin_;
        begin_ = end_ = 0;
        if (discarded_bytes_ > kMaxDiscardedBytes) Close();
        progress = false;
        break;
    }
  }
  processing_ = false;
  StartRead();
}

bool HttpConnection::ProcessHead() {
  const absl::string_view unread = Unread();
  if (unread.empty()) return false;
  if (!std::exchange(request_begun_, true)) request_since_ = listener_->now;
  const RequestParser::Step step = parser_.ParseHead(unread);
  Consume(step.consumed);
  switch (step.progress) {
    case RequestParser::Progress::kError:
      ++listener_->counters->rejected_frames;
      Refuse(parser_.error_status(), parser_.error_sentence());
      return true;
    case RequestParser::Progress::kHead:
      return StartBody();
    default:
      if (end_ - begin_ == buffer_.size()) {
        ++listener_->counters->rejected_frames;
        Refuse(431, "the headers are too large");
        return true;
      }
      return false;
  }
}

bool HttpConnection::StartBody() {
  const RequestHead& head = parser_.head();
  if (!head.chunked && head.content_length == 0) {
    Dispatch({});
    return true;
  }
  if (listener_->buffered_bytes + head.content_length >
      listener_->options.max_buffered_bytes) {
    Shed();
    return true;
  }
  if (head.expects_continue && Unread().empty()) {
    Slot& slot = PushSlot();
    slot.reply.status = kContinue;
    slot.ready = true;
  }
  if (head.chunked) {
    reading_ = Reading::kChunks;
    Pump();
    return true;
  }
  // Counted as it arrives, not as it is announced: who sends nothing must not
  // keep others out. Memory that was never written to costs address space only.
  body_.size = static_cast<size_t>(head.content_length);
  body_.storage = oip::AllocateBody(body_.size, &body_data_);
  body_received_ = std::min(body_.size, end_ - begin_);
  Reserve(body_received_);
  std::memcpy(body_data_, buffer_.data() + begin_, body_received_);
  Consume(body_received_);
  reading_ = Reading::kBody;
  Pump();
  return true;
}

void HttpConnection::Reserve(size_t size) {
  body_reserved_ += size;
  listener_->buffered_bytes += size;
}

bool HttpConnection::ProcessBody() {
  if (listener_->buffered_bytes > listener_->options.max_buffered_bytes) {
    Shed();
    return true;
  }
  if (body_received_ < body_.size) return false;
  oip::Body body = std::exchange(body_, {});
  ReleaseBody();
  Dispatch(std::move(body));
  return true;
}

bool HttpConnection::ProcessChunks() {
  const RequestParser::Step step = parser_.ParseChunks(Unread());
  Consume(step.consumed);
  const size_t held = parser_.chunked_body().capacity();
  listener_->buffered_bytes += held - body_reserved_;
  body_reserved_ = held;
  if (step.progress == RequestParser::Progress::kError) {
    ++listener_->counters->rejected_frames;
    Refuse(parser_.error_status(), parser_.error_sentence());
    return true;
  }
  if (listener_->buffered_bytes > listener_->options.max_buffered_bytes) {
    Shed();
    return true;
  }
  if (step.progress == RequestParser::Progress::kNeedMore) return false;
  std::string text = std::move(parser_.chunked_body());
  ReleaseBody();
  Dispatch(oip::BodyOf(std::move(text)));
  return true;
}

void HttpConnection::Shed() {
  ++listener_->counters->shed_bodies;
  Refuse(503, "overloaded: too many bytes of requests and replies are held");
}

void HttpConnection::ReleaseBody() {
  listener_->buffered_bytes -= std::exchange(body_reserved_, 0);
  if (read_pending_ && reading_into_body_) return;  // Still written to.
  body_ = {};
  body_data_ = nullptr;
  body_received_ = 0;
}

void HttpConnection::Dispatch(oip::Body body) {
  RequestHead& head = parser_.head();
  body.json_bytes = head.json_bytes;
  HttpRequest request{.method = head.method,
                      .target = std::move(head.target),
                      .content_encoding = std::move(head.content_encoding),
                      .accept_encoding = std::move(head.accept_encoding),
                      .passed_headers = std::move(head.passed_headers),
                      .body = std::move(body)};
  Slot& slot = PushSlot();
  const uint64_t sequence = front_sequence_ + num_slots_ - 1;
  slot.http_version = head.http_version;
  slot.head_only = head.method == HttpMethod::kHead;
  slot.close = !head.keep_alive || draining_;
  reading_ = slot.close ? Reading::kDiscard : Reading::kHead;
  parser_.Reset();
  request_begun_ = false;
  const uint64_t token =
      listener_->handler->Handle(std::move(request), ReplySlot(this, sequence));
  if (token == 0) return;
  if (closed_) return listener_->handler->Abandon(token);
  SlotAt(static_cast<size_t>(sequence - front_sequence_)).token = token;
}

/// Replies in turn, then ends the connection.
void HttpConnection::Refuse(int status, absl::string_view sentence) {
  ReleaseBody();
  reading_ = Reading::kDiscard;
  Slot& slot = PushSlot();
  slot.close = true;
  slot.http_version = parser_.head().http_version;
  HttpReply reply = ErrorReply(Endpoint::kOther, status, sentence);
  if (status == 503) reply.headers = "Retry-After: 1\r\n";
  Reply(front_sequence_ + num_slots_ - 1, std::move(reply));
}

HttpConnection::Slot& HttpConnection::SlotAt(size_t index) {
  return ring_[(front_ + index) % ring_.size()];
}

HttpConnection::Slot& HttpConnection::PushSlot() {
  PARM_CHECK(num_slots_ < ring_.size());
  return SlotAt(num_slots_++);
}

void HttpConnection::Reply(uint64_t sequence, HttpReply reply) {
  PARM_CHECK(sequence >= front_sequence_ &&
             sequence < front_sequence_ + num_slots_);
  const std::shared_ptr<HttpConnection> keep_alive = shared_from_this();
  Slot& slot = SlotAt(static_cast<size_t>(sequence - front_sequence_));
  const auto endpoint = static_cast<size_t>(reply.endpoint);
  ++listener_->counters
        ->replies[endpoint][static_cast<size_t>(reply.status) / 100 % 6];
  listener_->buffered_bytes += MemoryOf(reply);
  slot.reply = std::move(reply);
  slot.token = 0;
  slot.ready = true;
  Pump();
}

void HttpConnection::AbandonSlot(const Slot& slot) {
  if (slot.token == 0) return;
  ++listener_->counters->abandoned;
  listener_->handler->Abandon(slot.token);
}

/// Writes what is ready, in order. A reply that fits into the socket's buffer
/// needs no turn of the loop.
void HttpConnection::Pump() {
  while (!writing_ && !closed_ && num_slots_ > 0 && SlotAt(0).ready) {
    const Slot& slot = SlotAt(0);
    head_.clear();
    AppendReplyHead(slot.reply, slot.http_version, slot.close, &head_);
    pieces_.clear();
    pieces_.emplace_back(head_.data(), head_.size());
    if (!slot.head_only) {
      const oip::EncodedBody& body = slot.reply.body;
      pieces_.emplace_back(body.json.data(), body.json.size());
      for (const Buffer& tensor : body.tensors) {
        pieces_.emplace_back(tensor.bytes().data(), tensor.size());
      }
    }
    error_code error;
    size_t sent = stream_.WriteSome(pieces_, error);
    if (error == asio::error::would_block || error == asio::error::try_again) {
      sent = 0;
    } else if (error) {
      return Close();
    }
    listener_->counters->bytes_sent += sent;
    size_t first = 0;
    while (first < pieces_.size() && sent >= pieces_[first].size()) {
      sent -= pieces_[first++].size();
    }
    if (first == pieces_.size()) {
      FinishFront();
      continue;
    }
    pieces_[first] += sent;
    writing_ = true;
    write_since_ = listener_->now;
    stream_.AsyncWrite(
        pieces_, first,
        [self = shared_from_this()](error_code done, size_t size) {
          self->OnWritten(done, size);
        });
  }
}

void HttpConnection::OnWritten(error_code error, size_t size) {
  writing_ = false;
  if (closed_) return;
  listener_->counters->bytes_sent += size;
  if (error) return Close();
  FinishFront();
  Pump();
}

void HttpConnection::FinishFront() {
  Slot& slot = SlotAt(0);
  const bool was_last = slot.close;
  listener_->buffered_bytes -= MemoryOf(slot.reply);
  slot = Slot();
  front_ = (front_ + 1) % ring_.size();
  ++front_sequence_;
  --num_slots_;
  if (num_slots_ > 0 && !was_last) return Process();
  if (was_last && !peer_closed_) return Linger();
  if (was_last || peer_closed_) return Close();
  idle_since_ = listener_->now;
  Process();
}

/// Nothing more is written; the peer may close first.
void HttpConnection::Linger() {
  stream_.ShutdownSend();
  reading_ = Reading::kDiscard;
  lingering_ = true;
  linger_since_ = listener_->now;
  Process();
}

/// True if nothing of a request is here beyond the slots.
bool HttpConnection::IsIdle() const {
  return reading_ == Reading::kHead && !request_begun_ && begin_ == end_;
}

void HttpConnection::BeginDrain() {
  if (stream_.handshaking()) return Close();
  draining_ = true;
  drain_since_ = listener_->now;
  if (num_slots_ == 0 && IsIdle()) return;    // Tick closes it.
  if (reading_ == Reading::kDiscard) return;  // It ends already.
  // What is not here as a whole would come too late in any case, and its client
  // may never finish it.
  Slot* const last = num_slots_ > 0 ? &SlotAt(num_slots_ - 1) : nullptr;
  if (last == nullptr || last->reply.status == kContinue) {
    return Refuse(503, "shutting down");
  }
  last->close = true;
  reading_ = Reading::kDiscard;
  ReleaseBody();
}

void HttpConnection::Tick() {
  const Time now = listener_->now;
  const HttpOptions& options = listener_->options;
  HttpCounters* const counters = listener_->counters;
  if (writing_ && now - write_since_ > options.write_timeout) {
    ++counters->write_timeouts;
    return Close();
  }
  if (lingering_ && now - linger_since_ > kLingerTime) return Close();
  if (stream_.handshaking()) {
    if (now - idle_since_ <= options.handshake_timeout) return;
    ++counters->handshake_timeouts;
    return Close();
  }
  const bool waits_for_room = reading_ == Reading::kHead && !read_pending_;
  if (reading_ == Reading::kDiscard || waits_for_room) return;
  if (!IsIdle()) {
    if (now - request_since_ > options.read_timeout) {
      ++counters->read_timeouts;
      Refuse(408, "the request did not arrive in time");
    }
  } else if (num_slots_ > 0) {
    return;
  } else if (draining_) {
    if (now - drain_since_ > kDrainGrace) Close();
  } else if (now - idle_since_ > options.idle_timeout) {
    ++counters->idle_timeouts;
    Close();
  }
}

void HttpConnection::Close() {
  if (std::exchange(closed_, true)) return;
  ReleaseBody();
  for (size_t i = 0; i < num_slots_; ++i) {
    Slot& slot = SlotAt(i);
    if (slot.ready) {
      listener_->buffered_bytes -= MemoryOf(slot.reply);
    } else {
      AbandonSlot(slot);
    }
  }
  num_slots_ = 0;
  --listener_->counters->connections_open;
  stream_.Close();
  listener_->on_closed(this);
}

}  // namespace parm
