#include "frontend/serve/request_parser.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

using Progress = RequestParser::Progress;

constexpr size_t kMaxHeaderBytes = 1024;
constexpr size_t kMaxBodyBytes = 4096;

/// Feeds `text` with at most `size` new bytes at a time, as a socket would:
/// what is not consumed is offered again. Returns what is left over.
struct Fed {
  Progress progress = Progress::kNeedMore;
  std::string rest;
};

Fed Feed(RequestParser& parser, const std::string& text, size_t size) {
  bool chunks = false;
  std::string window;
  size_t next = 0;
  while (true) {
    const RequestParser::Step step =
        chunks ? parser.ParseChunks(window) : parser.ParseHead(window);
    window.erase(0, step.consumed);
    if (step.progress == Progress::kHead && parser.head().chunked) {
      chunks = true;
      continue;
    }
    if (step.progress != Progress::kNeedMore || next == text.size()) {
      return {step.progress, window + text.substr(next)};
    }
    window += text.substr(next, size);
    next = std::min(text.size(), next + size);
  }
}

TEST(RequestParserTest, ReadsTheSameInPiecesOfAnySize) {
  const std::string text =
      "POST /v2/models/a%20b/infer?x=1 HTTP/1.1\r\nHost: test\r\n"
      "Content-Length: 12\r\nInference-Header-Content-Length: 7\r\n"
      "Content-Encoding: gzip\r\nAccept-Encoding: gzip;q=0.5\r\n"
      "Accept-Encoding: deflate\r\nExpect: 100-Continue\r\n\r\nbody";
  RequestParser parser(kMaxHeaderBytes, kMaxBodyBytes);
  for (size_t size = 1; size <= text.size(); ++size) {
    SCOPED_TRACE(size);
    const Fed fed = Feed(parser, text, size);
    ASSERT_EQ(fed.progress, Progress::kHead);
    EXPECT_EQ(fed.rest, "body");
    const RequestHead& head = parser.head();
    EXPECT_EQ(head.method, HttpMethod::kPost);
    EXPECT_EQ(head.target, "/v2/models/a%20b/infer?x=1");
    EXPECT_EQ(head.content_length, 12u);
    EXPECT_EQ(head.json_bytes, 7u);
    EXPECT_EQ(head.content_encoding, "gzip");
    EXPECT_EQ(head.accept_encoding, "gzip;q=0.5, deflate");
    EXPECT_TRUE(head.expects_continue);
    EXPECT_TRUE(head.keep_alive);
    EXPECT_FALSE(head.chunked);
    parser.Reset();
  }
}

TEST(RequestParserTest, HandsOnEndToEndHeadersAlone) {
  RequestParser parser(kMaxHeaderBytes, kMaxBodyBytes);
  const std::string text =
      "POST / HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer x\r\n"
      "Connection: keep-alive, X-Hop\r\nx-hop: 1\r\nKeep-Alive: 5\r\n"
      "TE: trailers\r\nUpgrade: h2c\r\nProxy-Authorization: y\r\n"
      "traceparent: 00-ab-cd-01\r\nContent-Type: text/x\r\n"
      "Content-Length: 0\r\nAccept-Encoding: gzip\r\nAccept: */*\r\n"
      "Inference-Header-Content-Length: 0\r\nX-Own: a: b\r\n\r\n";
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(Feed(parser, text, 7).progress, Progress::kHead);
    EXPECT_EQ(parser.head().passed_headers,
              "Authorization: Bearer x\r\ntraceparent: 00-ab-cd-01\r\n"
              "X-Own: a: b\r\n");
    parser.Reset();
  }
}

TEST(RequestParserTest, ReadsChunksInPiecesOfAnySize) {
  const std::string text =
      "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\nA;name=value\r\n0123456789\r\n0\r\n"
      "Content-Type: in a trailer\r\n\r\nGET";
  RequestParser parser(kMaxHeaderBytes, kMaxBodyBytes);
  for (size_t size = 1; size <= text.size(); ++size) {
    SCOPED_TRACE(size);
    const Fed fed = Feed(parser, text, size);
    ASSERT_EQ(fed.progress, Progress::kBody);
    EXPECT_EQ(fed.rest, "GET");
    EXPECT_EQ(parser.chunked_body(), "abc0123456789");
    parser.Reset();
  }
}

TEST(RequestParserTest, ReadsAnEmptyChunkedBodyInPieces) {
  const std::string text =
      "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0\r\n\r\nGET";
  RequestParser parser(kMaxHeaderBytes, kMaxBodyBytes);
  for (size_t size = 1; size <= text.size(); ++size) {
    SCOPED_TRACE(size);
    const Fed fed = Feed(parser, text, size);
    ASSERT_EQ(fed.progress, Progress::kBody);
    EXPECT_EQ(fed.rest, "GET");
    EXPECT_EQ(parser.chunked_body(), "");
    parser.Reset();
  }
}

TEST(RequestParserTest, ForgetsOneRequestBeforeTheNext) {
  RequestParser parser(kMaxHeaderBytes, kMaxBodyBytes);
  Feed(parser,
       "POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n"
       "Inference-Header-Content-Length: 5\r\nContent-Encoding: gzip\r\n"
       "Accept-Encoding: gzip\r\nExpect: 100-continue\r\n\r\n",
       1000);
  EXPECT_EQ(parser.head().http_version, 10);
  parser.Reset();
  const Fed fed = Feed(
      parser, "GET /b HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", 1000);
  EXPECT_EQ(fed.progress, Progress::kHead);
  const RequestHead& head = parser.head();
  EXPECT_EQ(head.method, HttpMethod::kGet);
  EXPECT_EQ(head.http_version, 11);
  EXPECT_EQ(head.content_length, 0u);
  EXPECT_EQ(head.json_bytes, std::nullopt);
  EXPECT_EQ(head.content_encoding, "");
  EXPECT_EQ(head.accept_encoding, "");
  EXPECT_FALSE(head.expects_continue);
  EXPECT_FALSE(head.keep_alive);
}

TEST(RequestParserTest, BoundsHeadersBodiesAndChunks) {
  const std::string start = "POST / HTTP/1.1\r\nHost: t\r\n";
  const std::string chunked = start + "Transfer-Encoding: chunked\r\n\r\n";
  std::string many_chunks = chunked;
  for (int i = 0; i < 70'000; ++i) many_chunks += "1\r\na\r\n";
  const std::pair<std::string, int> cases[] = {
      {start + "X: " + std::string(2000, 'a') + "\r\n\r\n", 431},
      {start + std::string(1500, 'a'), 431},
      {start + "Content-Length: 4097\r\n\r\n", 413},
      {chunked + "1001\r\n", 413},
      {chunked + "1000\r\n" + std::string(4096, 'a') + "\r\n1\r\na\r\n", 413},
      {chunked + "ffffffffffffffff\r\n", 413},
      {chunked + "fffffffffffffffff\r\n", 400},
      {chunked + "1;" + std::string(2000, 'a'), 431},
      {many_chunks, 413}};
  for (const auto& [text, status] : cases) {
    SCOPED_TRACE(text.substr(0, 100));
    for (const size_t size : {size_t{16}, text.size()}) {
      RequestParser parser(kMaxHeaderBytes, kMaxBodyBytes);
      EXPECT_EQ(Feed(parser, text, size).progress, Progress::kError);
      EXPECT_EQ(parser.error_status(), status) << parser.error_sentence();
      EXPECT_NE(parser.error_sentence(), "");
    }
  }
}

}  // namespace
}  // namespace parm
