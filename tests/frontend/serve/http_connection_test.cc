#include "frontend/serve/http_connection.h"

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/frontend/serve/server_harness.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

constexpr char kLive[] = "GET /v2/health/live HTTP/1.1\r\nHost: t\r\n\r\n";

/// A request for one row of `num_values` floats, whose reply is as large.
std::string LargeRequest(int num_values) {
  const std::string json = absl::StrCat(
      R"({"parameters":{"binary_data_output":true},"inputs":[{"name":"INPUT",)",
      R"("datatype":"FP32","shape":[1,)", num_values,
      R"(],"parameters":{"binary_data_size":)", num_values * 4, "}}]}");
  return InferRequestText(
      absl::StrCat("Inference-Header-Content-Length: ", json.size(), "\r\n"),
      json + std::string(static_cast<size_t>(num_values) * 4, 'x'));
}

TEST(HttpConnectionTest, KeepsOneConnectionForManyRequests) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(client.Ask(InferRequestText()).status, 200);
  }
  const HttpCounters counters = harness.Counters();
  EXPECT_EQ(counters.connections_accepted, 1u);
  EXPECT_EQ(counters.connections_open, 1u);
  EXPECT_EQ(counters.bytes_received, 100 * InferRequestText().size());
  EXPECT_EQ(counters.replies[static_cast<size_t>(Endpoint::kInfer)][2], 100u);
}

TEST(HttpConnectionTest, TakesRequestsInAnyPieces) {
  ServerHarness harness;
  const std::string text = InferRequestText();
  for (size_t size : {1u, 7u, 50u}) {
    RawHttpClient client(harness.port());
    for (size_t i = 0; i < text.size(); i += size) {
      ASSERT_TRUE(client.Send(text.substr(i, size)));
      harness.Counters();  // Lets the loop turn between the pieces.
    }
    EXPECT_EQ(client.ReadReply().status, 200);
  }
}

TEST(HttpConnectionTest, ReceivesBodiesLargerThanTheReadBuffer) {
  constexpr int kNumValues = 500'000;
  ServerHarness harness({}, kNumValues);
  RawHttpClient client(harness.port());
  const RawReply reply = client.Ask(LargeRequest(kNumValues));
  EXPECT_EQ(reply.status, 200);
  EXPECT_THAT(reply.body, HasSubstr(std::string(kNumValues * 4, 'x')));
}

TEST(HttpConnectionTest, AnswersPipelinedRequestsInOrder) {
  ServerHarness harness;
  harness.OnLoop([&] { harness.service().hold = true; });
  RawHttpClient client(harness.port());
  std::string text;
  for (int i = 0; i < 4; ++i) {
    text += InferRequestText(
        "", absl::StrCat(R"({"id":")", i, "\",", std::string(kGoodJson + 1)));
  }
  ASSERT_TRUE(client.Send(text + kLive));
  ASSERT_TRUE(harness.AwaitHeld(4));
  harness.OnLoop([&] {  // The last first.
    for (size_t i = 4; i > 0; --i) harness.service().Answer(i - 1);
  });
  for (int i = 0; i < 4; ++i) {
    EXPECT_THAT(client.ReadReply().body,
                HasSubstr(absl::StrCat(R"("id":")", i, "\"")));
  }
  EXPECT_EQ(client.ReadReply().status, 200);
}

TEST(HttpConnectionTest, ReadsNoMoreThanMaxPipelinedAhead) {
  ServerHarness harness({.max_pipelined = 2});
  harness.OnLoop([&] { harness.service().hold = true; });
  RawHttpClient client(harness.port());
  std::string text;
  for (int i = 0; i < 5; ++i) text += InferRequestText();
  ASSERT_TRUE(client.Send(text));
  for (int answered = 0; answered < 5; ++answered) {
    ASSERT_TRUE(harness.AwaitHeld(answered < 4 ? 2 : 1));
    harness.OnLoop([&] { harness.service().Answer(0); });
    EXPECT_EQ(client.ReadReply().status, 200);
  }
}

TEST(HttpConnectionTest, AnswersManyPipelinedRequestsAtOnce) {
  ServerHarness harness({.max_pipelined = 1});
  RawHttpClient client(harness.port());
  std::string text;
  for (int i = 0; i < 2000; ++i) text += kLive;
  ASSERT_TRUE(client.Send(text));
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(client.ReadReply().status, 200);
}

TEST(HttpConnectionTest, ClosesWhenTheClientAsksForIt) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  const RawReply reply =
      client.Ask(Request("GET", "/v2", "Connection: close\r\n") + kLive);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("connection"), "close");
  EXPECT_TRUE(client.AtEnd());  // What came behind it is not answered.
}

TEST(HttpConnectionTest, SpeaksHttpOneZero) {
  ServerHarness harness;
  {
    RawHttpClient client(harness.port());
    const RawReply reply = client.Ask("GET /v2 HTTP/1.0\r\n\r\n");
    EXPECT_EQ(reply.status, 200);
    EXPECT_TRUE(client.AtEnd());
  }
  RawHttpClient client(harness.port());
  const std::string keep = "GET /v2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  EXPECT_EQ(client.Ask(keep).headers.at("connection"), "keep-alive");
  EXPECT_EQ(client.Ask(keep).status, 200);
}

TEST(HttpConnectionTest, AnswersExpectContinueInTurn) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  const std::string body = kGoodJson;
  ASSERT_TRUE(client.Send(
      absl::StrCat(kLive, "POST ", kInferTarget,
                   " HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
                   "Content-Length: ",
                   body.size(), "\r\n\r\n")));
  EXPECT_EQ(client.ReadReply().status, 200);
  EXPECT_EQ(client.ReadReply().status, 100);
  EXPECT_EQ(client.Ask(body).status, 200);
  // Triton's C++ client sends an empty one.
  EXPECT_EQ(client.Ask(InferRequestText("Expect:\r\n")).status, 200);
  EXPECT_EQ(client.Ask(InferRequestText("Expect: tea\r\n")).status, 417);
}

TEST(HttpConnectionTest, TakesChunkedBodiesUpToTheLimit) {
  ServerHarness harness({.max_body_bytes = 300});
  RawHttpClient client(harness.port());
  const std::string head = absl::StrCat(
      "POST ", kInferTarget,
      " HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string body = kGoodJson;
  std::string chunks;
  for (size_t i = 0; i < body.size(); i += 9) {
    const std::string part = body.substr(i, 9);
    absl::StrAppend(&chunks, absl::Hex(part.size()), ";x=y\r\n", part, "\r\n");
  }
  EXPECT_EQ(client.Ask(head + chunks + "0\r\nTrailer: 1\r\n\r\n").status, 200);
  EXPECT_EQ(client.Ask(head + chunks + "0\r\n\r\n").status, 200);
  const RawReply reply =
      client.Ask(head + "ff\r\n" + std::string(255, ' ') + "\r\n2e\r\n");
  EXPECT_EQ(reply.status, 413);
  EXPECT_TRUE(client.AtEnd());
}

TEST(HttpConnectionTest, RefusesFramesWithTwoMeanings) {
  ServerHarness harness;
  struct Case {
    const char* name;
    int status;
    std::string text;
  };
  const std::string post = "POST /v2/models/echo/infer HTTP/1.1\r\n";
  const std::string host = "Host: t\r\n";
  const Case cases[] = {
      {"not http", 400, "hello\r\n\r\n"},
      {"tls", 400, std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 9)},
      {"http 2", 400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
      {"bare line feeds", 400, "GET /v2 HTTP/1.1\nHost: t\n\n"},
      {"no host", 400, "GET /v2 HTTP/1.1\r\n\r\n"},
      {"two hosts", 400, "GET /v2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
      {"two lengths", 400,
       post + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"},
      {"two equal lengths", 400,
       post + host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na"},
      {"list of lengths", 400, post + host + "Content-Length: 1, 1\r\n\r\na"},
      {"signed length", 400, post + host + "Content-Length: +1\r\n\r\na"},
      {"negative length", 400, post + host + "Content-Length: -1\r\n\r\na"},
      {"huge length", 400,
       post + host + "Content-Length: 99999999999999999999999\r\n\r\n"},
      {"length and chunked", 400,
       post + host +
           "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
           "0\r\n\r\n"},
      {"chunked and length", 400,
       post + host +
           "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"
           "0\r\n\r\n"},
      {"chunked twice", 400,
       post + host +
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
           "0\r\n\r\n"},
      {"other transfer encoding", 501,
       post + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
      {"transfer encoding by another name", 501,
       post + host + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
      {"chunked in 1.0", 400,
       "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"space before colon", 400, post + host + "Content-Length : 1\r\n\r\na"},
      {"bad chunk size", 400,
       post + host + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"},
      {"bad length header", 400,
       post + host + "Inference-Header-Content-Length: 0x1\r\n\r\n"},
      {"two length headers", 400,
       post + host +
           "Inference-Header-Content-Length: 0\r\n"
           "Inference-Header-Content-Length: 0\r\n\r\n"},
      {"headers too large", 431,
       "GET /v2 HTTP/1.1\r\nHost: t\r\nX: " + std::string(20'000, 'a') +
           "\r\n\r\n"},
      {"headers without an end", 431, "GET /" + std::string(20'000, 'a')}};
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.name);
    RawHttpClient client(harness.port());
    // The good request before it is answered; the one after it never.
    ASSERT_TRUE(client.Send(kLive + bad.text + kLive));
    EXPECT_EQ(client.ReadReply().status, 200);
    if (bad.name == std::string("tls")) client.ShutdownSend();
    const RawReply reply = client.ReadReply();
    EXPECT_EQ(reply.status, bad.status) << reply.body;
    EXPECT_THAT(reply.body, HasSubstr(R"({"error":")"));
    EXPECT_EQ(reply.headers.at("connection"), "close");
    EXPECT_TRUE(client.AtEnd());
  }
  EXPECT_EQ(harness.Counters().rejected_frames, std::size(cases));
}

TEST(HttpConnectionTest, AbandonsQueriesOfAClientThatLeft) {
  ServerHarness harness;
  harness.OnLoop([&] { harness.service().hold = true; });
  for (const bool reset : {false, true}) {
    SCOPED_TRACE(reset);
    RawHttpClient client(harness.port());
    ASSERT_TRUE(client.Send(InferRequestText() + InferRequestText()));
    ASSERT_TRUE(harness.AwaitHeld(2));
    reset ? client.Reset() : client.Close();
    ASSERT_TRUE(harness.AwaitHeld(0));
  }
  EXPECT_EQ(harness.OnLoop([&] { return harness.service().abandoned.size(); }),
            4u);
  const HttpCounters counters = harness.Counters();
  EXPECT_EQ(counters.abandoned, 4u);
  EXPECT_EQ(counters.connections_open, 0u);
}

TEST(HttpConnectionTest, SurvivesClientsThatLeaveInTheMiddle) {
  ServerHarness harness;
  const std::string text = InferRequestText();
  for (const size_t size : {size_t{1}, size_t{20}, text.size() - 5}) {
    for (const bool reset : {false, true}) {
      RawHttpClient client(harness.port());
      ASSERT_TRUE(client.Send(text.substr(0, size)));
      ASSERT_TRUE(harness.Await(
          [&] { return harness.server().counters().connections_open == 1; }));
      reset ? client.Reset() : client.Close();
      ASSERT_TRUE(harness.Await(
          [&] { return harness.server().counters().connections_open == 0; }));
    }
  }
  RawHttpClient client(harness.port());
  EXPECT_EQ(client.Ask(text).status, 200);
}

TEST(HttpConnectionTest, EndsAClientThatDoesNotRead) {
  constexpr int kNumValues = 4'000'000;  // More than the kernel buffers.
  ServerHarness harness({.write_timeout = Milliseconds(50)}, kNumValues);
  RawHttpClient client(harness.port(), /*receive_buffer_bytes=*/4096);
  ASSERT_TRUE(client.Send(LargeRequest(kNumValues)));
  EXPECT_TRUE(harness.Await(
      [&] { return harness.server().counters().write_timeouts == 1; }));
  EXPECT_EQ(harness.Counters().connections_open, 0u);
}

TEST(HttpConnectionTest, EndsConnectionsThatStayIdle) {
  ServerHarness harness({.idle_timeout = Milliseconds(40)});
  RawHttpClient client(harness.port());
  EXPECT_TRUE(client.AtEnd());
  EXPECT_EQ(harness.Counters().idle_timeouts, 1u);
}

TEST(HttpConnectionTest, EndsRequestsThatDoNotArrive) {
  ServerHarness harness({.read_timeout = Milliseconds(40)});
  const std::string texts[] = {
      "GET /v2 HT", "POST /v2 HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n",
      "POST /v2 HTTP/1.1\r\nHost: t\r\nContent-Length: 900000\r\n\r\nabc",
      "POST /v2 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: "
      "chunked\r\n\r\n5\r\n"};
  for (const std::string& text : texts) {
    SCOPED_TRACE(text);
    RawHttpClient client(harness.port());
    EXPECT_EQ(client.Ask(text).status, 408);
    // What still comes is thrown away, not read as a request.
    client.Send(std::string(100'000, 'x') + kLive);
    EXPECT_TRUE(client.AtEnd());
  }
  EXPECT_EQ(harness.Counters().read_timeouts, std::size(texts));
}

TEST(HttpConnectionTest, DoesNotTimeOutWhileAQueryRuns) {
  ServerHarness harness(
      {.idle_timeout = Milliseconds(3000), .read_timeout = Milliseconds(3000)});
  harness.OnLoop([&] { harness.service().hold = true; });
  RawHttpClient waiting(harness.port());
  ASSERT_TRUE(waiting.Send(InferRequestText()));
  ASSERT_TRUE(harness.AwaitHeld(1));
  // Another connection has gone idle meanwhile, so the time has passed.
  RawHttpClient idle(harness.port());
  EXPECT_TRUE(idle.AtEnd());
  harness.OnLoop([&] { harness.service().Answer(0); });
  EXPECT_EQ(waiting.ReadReply().status, 200);
}

TEST(HttpConnectionTest, RefusesMoreConnectionsThanAllowed) {
  ServerHarness harness({.max_connections = 1});
  RawHttpClient first(harness.port());
  EXPECT_EQ(first.Ask(kLive).status, 200);
  RawHttpClient second(harness.port());
  const RawReply reply = second.ReadReply();
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.headers.at("retry-after"), "1");
  EXPECT_EQ(harness.Counters().connections_refused, 1u);
  EXPECT_EQ(first.Ask(kLive).status, 200);
}

TEST(HttpConnectionTest, ShedsBodiesBeyondTheMemoryBound) {
  ServerHarness harness({.max_buffered_bytes = 1000});
  RawHttpClient half(harness.port());
  const std::string begun =
      "POST /v2 HTTP/1.1\r\nHost: t\r\nContent-Length: 990\r\n\r\n" +
      std::string(980, 'x');
  ASSERT_TRUE(half.Send(begun));
  ASSERT_TRUE(harness.Await([&] {
    return harness.server().counters().bytes_received == begun.size();
  }));
  RawHttpClient client(harness.port());
  const RawReply reply = client.Ask(InferRequestText());
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.headers.at("retry-after"), "1");
  EXPECT_EQ(harness.Counters().shed_bodies, 1u);
  // Once the half body has gone there is room again.
  client.Close();
  half.Close();
  ASSERT_TRUE(harness.Await(
      [&] { return harness.server().counters().connections_open == 0; }));
  RawHttpClient third(harness.port());
  EXPECT_EQ(third.Ask(InferRequestText()).status, 200);
}

TEST(HttpConnectionTest, CountsBodiesAsTheyArrive) {
  ServerHarness harness({.max_buffered_bytes = 1000});
  const std::string head =
      "POST /v2 HTTP/1.1\r\nHost: t\r\nContent-Length: 950\r\n\r\n";
  RawHttpClient first(harness.port());
  RawHttpClient second(harness.port());
  ASSERT_TRUE(first.Send(head));
  ASSERT_TRUE(second.Send(head));
  ASSERT_TRUE(harness.Await([&] {
    return harness.server().counters().bytes_received == 2 * head.size();
  }));
  // What was only announced is in nobody's way.
  RawHttpClient third(harness.port());
  EXPECT_EQ(third.Ask(InferRequestText()).status, 200);
  // What arrives is counted: there is room for one of the two.
  ASSERT_TRUE(first.Send(std::string(600, 'x')));
  ASSERT_TRUE(harness.Await([&] {
    return harness.server().counters().bytes_received ==
           2 * head.size() + InferRequestText().size() + 600;
  }));
  EXPECT_EQ(second.Ask(std::string(600, 'x')).status, 503);
  EXPECT_EQ(first.Ask(std::string(350, 'x')).status, 405);
  EXPECT_EQ(harness.Counters().shed_bodies, 1u);
}

TEST(HttpConnectionTest, DrainsBehindTheLastReply) {
  ServerHarness harness;
  harness.OnLoop([&] { harness.service().hold = true; });
  RawHttpClient idle(harness.port());
  RawHttpClient busy(harness.port());
  EXPECT_EQ(idle.Ask(kLive).status, 200);
  ASSERT_TRUE(busy.Send(InferRequestText() + InferRequestText()));
  ASSERT_TRUE(harness.AwaitHeld(2));
  bool drained = false;
  harness.OnLoop([&] { harness.server().Drain([&] { drained = true; }); });
  EXPECT_TRUE(idle.AtEnd());
  EXPECT_FALSE(RawHttpClient(harness.port()).connected());
  EXPECT_FALSE(harness.OnLoop([&] { return drained; }));
  harness.OnLoop([&] { harness.service().Answer(0); });
  EXPECT_EQ(busy.ReadReply().headers.count("connection"), 0u);
  harness.OnLoop([&] { harness.service().Answer(0); });
  EXPECT_EQ(busy.ReadReply().headers.at("connection"), "close");
  EXPECT_TRUE(busy.AtEnd());
  busy.Close();
  EXPECT_TRUE(harness.Await([&] { return drained; }));
}

TEST(HttpConnectionTest, DrainsPastRequestsThatAreHalfSent) {
  ServerHarness harness;
  const std::string texts[] = {
      "GET /v2 HT",
      "POST /v2 HTTP/1.1\r\nHost: t\r\nContent-Length: 900000\r\n\r\nabc",
      "POST /v2 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: "
      "chunked\r\n\r\n5\r\n"};
  std::vector<std::unique_ptr<RawHttpClient>> clients;
  size_t sent = 0;
  for (const std::string& text : texts) {
    clients.push_back(std::make_unique<RawHttpClient>(harness.port()));
    ASSERT_TRUE(clients.back()->Send(text));
    sent += text.size();
  }
  ASSERT_TRUE(harness.Await(
      [&] { return harness.server().counters().bytes_received == sent; }));
  bool drained = false;
  harness.OnLoop([&] { harness.server().Drain([&] { drained = true; }); });
  for (const auto& client : clients) {
    const RawReply reply = client->ReadReply();
    EXPECT_EQ(reply.status, 503);
    EXPECT_THAT(reply.body, HasSubstr("shutting down"));
    EXPECT_TRUE(client->AtEnd());
    client->Close();
  }
  EXPECT_TRUE(harness.Await([&] { return drained; }));
}

TEST(HttpConnectionTest, DrainsPastARequestBehindTheLastReply) {
  ServerHarness harness;
  harness.OnLoop([&] { harness.service().hold = true; });
  RawHttpClient client(harness.port());
  const std::string text = InferRequestText() + InferRequestText();
  ASSERT_TRUE(client.Send(text.substr(0, text.size() - 5)));
  ASSERT_TRUE(harness.AwaitHeld(1));
  ASSERT_TRUE(harness.Await([&] {
    return harness.server().counters().bytes_received == text.size() - 5;
  }));
  bool drained = false;
  harness.OnLoop([&] { harness.server().Drain([&] { drained = true; }); });
  harness.OnLoop([&] { harness.service().Answer(0); });
  const RawReply reply = client.ReadReply();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("connection"), "close");
  EXPECT_TRUE(client.AtEnd());
  client.Close();
  EXPECT_TRUE(harness.Await([&] { return drained; }));
}

TEST(HttpConnectionTest, AnswersWhatWasOnItsWayWhenItDrains) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  EXPECT_EQ(client.Ask(kLive).status, 200);
  bool drained = false;
  // In one turn of the loop: the request is here, and not read yet.
  harness.OnLoop([&] {
    harness.server().Drain([&] { drained = true; });
    client.Send(std::string(kLive) + kLive);
  });
  const RawReply reply = client.ReadReply();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("connection"), "close");
  EXPECT_TRUE(client.AtEnd());
  client.Close();
  EXPECT_TRUE(harness.Await([&] { return drained; }));
}

TEST(HttpConnectionTest, ServesWhoConnectedBeforeItStopped) {
  ServerHarness harness;
  std::vector<std::unique_ptr<RawHttpClient>> clients;
  // Connected as far as the system is concerned, and not accepted yet.
  harness.OnLoop([&] {
    for (int i = 0; i < 20; ++i) {
      clients.push_back(std::make_unique<RawHttpClient>(harness.port()));
    }
    harness.server().StopAccepting();
  });
  for (const auto& client : clients) {
    EXPECT_EQ(client->Ask(kLive).status, 200);
  }
  EXPECT_FALSE(RawHttpClient(harness.port()).connected());
}

TEST(HttpConnectionTest, DrainsAtOnceWithoutConnections) {
  ServerHarness harness;
  bool drained = false;
  harness.OnLoop([&] {
    harness.server().Drain([&] { drained = true; });
    EXPECT_FALSE(drained);
  });
  EXPECT_TRUE(harness.Await([&] { return drained; }));
}

TEST(HttpConnectionTest, KeepsConnectionsWhenItStopsAccepting) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  EXPECT_EQ(client.Ask(kLive).status, 200);
  harness.OnLoop([&] { harness.server().StopAccepting(); });
  EXPECT_FALSE(RawHttpClient(harness.port()).connected());
  EXPECT_EQ(client.Ask(InferRequestText()).status, 200);
}

TEST(HttpConnectionTest, AbandonsEverythingWhenTheServerGoes) {
  ServerHarness harness;
  harness.OnLoop([&] { harness.service().hold = true; });
  RawHttpClient client(harness.port());
  ASSERT_TRUE(client.Send(InferRequestText()));
  ASSERT_TRUE(harness.AwaitHeld(1));
  harness.DestroyServer();
  EXPECT_TRUE(client.AtEnd());
  EXPECT_EQ(harness.OnLoop([&] { return harness.service().abandoned.size(); }),
            1u);
}

}  // namespace
}  // namespace parm
