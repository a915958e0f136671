#include "frontend/upstream/oip/server_reply_reader.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

std::string TextOf(const oip::Body& body) {
  return {reinterpret_cast<const char*>(body.storage.bytes().data()),
          body.size};
}

// Puts in as much as fits at a time, at most `step` bytes.
absl::Status Feed(ServerReplyReader& reader, const std::string& bytes,
                  size_t step = SIZE_MAX) {
  size_t used = 0;
  while (used < bytes.size()) {
    const absl::Span<std::byte> space = reader.Space();
    const size_t size = std::min({space.size(), bytes.size() - used, step});
    std::memcpy(space.data(), bytes.data() + used, size);
    used += size;
    const absl::Status status = reader.Commit(size);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

constexpr char kSized[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
    "inference-header-content-length: 3\r\nContent-Length: 11\r\n\r\n"
    "abcdefghijk";
constexpr char kChunked[] =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    "4\r\nabcd\r\n7;x=y\r\nefghijk\r\n0\r\nT: u\r\n\r\n";

TEST(ServerReplyReaderTest, ReadsBodiesHoweverBytesAreCut) {
  for (const std::string bytes : {kSized, kChunked}) {
    for (size_t step = 1; step <= bytes.size(); ++step) {
      SCOPED_TRACE(absl::StrCat("step=", step));
      ServerReplyReader reader({});
      ASSERT_THAT(Feed(reader, bytes, step), IsOk());
      ASSERT_TRUE(reader.done());
      EXPECT_TRUE(reader.keep_alive());
      const ServerReply reply = reader.Take();
      EXPECT_EQ(reply.status, 200);
      EXPECT_EQ(TextOf(reply.body), "abcdefghijk");
      EXPECT_EQ(reply.body.json_bytes.has_value(), bytes == kSized);
      // Ready for the next one on the same connection.
      ASSERT_THAT(Feed(reader, kSized), IsOk());
      EXPECT_EQ(reader.Take().body.json_bytes, 3U);
    }
  }
}

TEST(ServerReplyReaderTest, ReadsEmptyChunkedBodiesInPieces) {
  ServerReplyReader reader({});
  ASSERT_THAT(
      Feed(reader,
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           /*step=*/1),
      IsOk());
  ASSERT_TRUE(reader.done());
  EXPECT_EQ(reader.Take().body.size, 0U);
}

TEST(ServerReplyReaderTest, ReadsHttp10UpToTheEnd) {
  ServerReplyReader reader({});
  ASSERT_THAT(Feed(reader, "HTTP/1.0 200 OK\r\n\r\nall of"), IsOk());
  EXPECT_FALSE(reader.done());
  ASSERT_THAT(Feed(reader, " it"), IsOk());
  ASSERT_THAT(reader.CommitEnd(), IsOk());
  ASSERT_TRUE(reader.done());
  EXPECT_FALSE(reader.keep_alive());
  EXPECT_EQ(TextOf(reader.Take().body), "all of it");
}

TEST(ServerReplyReaderTest, ReadsOverInterimReplies) {
  ServerReplyReader reader({});
  ASSERT_THAT(
      Feed(reader, absl::StrCat("HTTP/1.1 100 Continue\r\n\r\n", kSized)),
      IsOk());
  EXPECT_EQ(reader.Take().status, 200);
}

TEST(ServerReplyReaderTest, KnowsWhenTheConnectionIsOver) {
  ServerReplyReader reader({});
  ASSERT_THAT(Feed(reader,
                   "HTTP/1.1 503 X\r\nConnection: close\r\n"
                   "Content-Length: 0\r\n\r\n"),
              IsOk());
  ASSERT_TRUE(reader.done());
  EXPECT_FALSE(reader.keep_alive());
  EXPECT_EQ(reader.Take().status, 503);
}

TEST(ServerReplyReaderTest, TellsNothingFromHalfAReply) {
  ServerReplyReader fresh({});
  EXPECT_THAT(fresh.CommitEnd(), StatusIs(absl::StatusCode::kUnavailable));
  for (const size_t size : {size_t{5}, sizeof(kSized) - 3}) {
    ServerReplyReader reader({});
    ASSERT_THAT(Feed(reader, std::string(kSized).substr(0, size)), IsOk());
    EXPECT_TRUE(reader.begun());
    EXPECT_THAT(reader.CommitEnd(),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("half-way")));
  }
}

TEST(ServerReplyReaderTest, RefusesWhatIsNoReply) {
  const std::string head = "HTTP/1.1 200 OK\r\n";
  for (const std::string& bytes :
       {std::string("SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        std::string("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        head + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        head + "Content-Length: -1\r\n\r\n",
        head + "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
        head + "Inference-Header-Content-Length: x\r\n"
               "Content-Length: 1\r\n\r\nx",
        head + "Transfer-Encoding: chunked\r\n\r\nzzzz\r\n",
        std::string(kSized) + "more", std::string(kChunked) + "more"}) {
    SCOPED_TRACE(bytes);
    ServerReplyReader reader({});
    EXPECT_THAT(Feed(reader, bytes), StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST(ServerReplyReaderTest, RefusesRepliesBeyondItsLimits) {
  const ServerReplyLimits limits{.max_head_bytes = 256, .max_body_bytes = 10};
  for (const std::string& bytes :
       {absl::StrCat("HTTP/1.1 200 OK\r\nA: ", std::string(300, 'a')),
        // One byte too many, some of which are read before the others come.
        absl::StrCat("HTTP/1.1 200 OK\r\nA: ", std::string(233, 'a'),
                     "\r\n\r\n"),
        std::string(kSized), std::string(kChunked),
        std::string("HTTP/1.0 200 OK\r\n\r\nmore than ten")}) {
    SCOPED_TRACE(bytes);
    ServerReplyReader reader(limits);
    EXPECT_THAT(Feed(reader, bytes),
                StatusIs(absl::StatusCode::kResourceExhausted));
  }
}

}  // namespace
}  // namespace parm
