// The HTTP port with certificates: TlsContext, TlsSession and ClientStream
// below an HttpServer, over loopback.

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ctime>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "frontend/serve/tls_context.h"
#include "frontend/serve/tls_session.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/serve/server_harness.h"
#include "tests/support/matchers.h"
#include "tests/support/raw_tls_client.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/test_certificates.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const char kLive[] = "GET /v2/health/live HTTP/1.1\r\nHost: t\r\n\r\n";

class HttpTlsTest : public ::testing::Test {
 protected:
  enum class Clients { kAnyone, kOptional, kRequired };

  TlsFiles Files(Clients clients = Clients::kAnyone) const {
    return {.certificate_chain = server_.certificate,
            .private_key = server_.key,
            .client_ca =
                clients == Clients::kAnyone ? "" : authority_.certificate(),
            .require_client_certificate = clients == Clients::kRequired};
  }
  HttpOptions Options(Clients clients = Clients::kAnyone) const {
    return {.tls = Must(Files(clients))};
  }
  static TlsIdentity Must(const TlsFiles& files) {
    absl::StatusOr<TlsIdentity> identity = LoadTlsIdentity(files);
    EXPECT_THAT(identity, IsOk());
    return *std::move(identity);
  }

  TlsClientOptions Client() const {
    return {.server_ca = authority_.certificate()};
  }
  TlsClientOptions ClientWith(const TestAuthority::Files& own) const {
    return {.server_ca = authority_.certificate(),
            .certificate = own.certificate,
            .key = own.key};
  }

  ScratchDirectory scratch_;
  const TestAuthority authority_{scratch_.path(), "authority"};
  const TestAuthority stranger_{scratch_.path(), "stranger"};
  const TestAuthority::Files server_ = authority_.Sign("server");
};

/// A binary request of `count` values, all in one body.
std::string LargeRequest(int64_t count) {
  const std::string json = absl::StrCat(
      R"({"inputs":[{"name":"INPUT","datatype":"FP32","shape":[1,)", count,
      R"(],"parameters":{"binary_data_size":)", count * 4,
      R"(}}],"parameters":{"binary_data_output":true}})");
  std::string tensor(static_cast<size_t>(count) * 4, '\0');
  for (size_t i = 0; i < tensor.size(); ++i) {
    tensor[i] = static_cast<char>(i % 61);
  }
  return Request(
      "POST", kInferTarget,
      absl::StrCat("Inference-Header-Content-Length: ", json.size(), "\r\n"),
      json + tensor);
}

TEST_F(HttpTlsTest, AnswersManyRequestsOfOneConnection) {
  ServerHarness harness(Options());
  RawTlsClient client(harness.port(), Client());
  ASSERT_TRUE(client.shaken());
  EXPECT_STREQ(client.version(), "TLSv1.3");
  for (int i = 0; i < 20; ++i) {
    const RawReply reply = client.Ask(InferRequestText());
    EXPECT_EQ(reply.status, 200);
    EXPECT_THAT(reply.body, HasSubstr("4.5"));
  }
  // Several in one record, too.
  ASSERT_TRUE(client.Send(std::string(kLive) + kLive + InferRequestText()));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.ReadReply().status, 200);
  const HttpCounters counters = harness.Counters();
  EXPECT_EQ(counters.handshakes, 1u);
  EXPECT_EQ(counters.handshakes_failed, 0u);
  EXPECT_EQ(counters.connections_accepted, 1u);
}

TEST_F(HttpTlsTest, TakesRequestsInRecordsOfOneByte) {
  ServerHarness harness(Options());
  RawTlsClient client(harness.port(), Client());
  for (const char byte : InferRequestText()) {
    ASSERT_TRUE(client.Send(std::string(1, byte)));
  }
  EXPECT_EQ(client.ReadReply().status, 200);
}

TEST_F(HttpTlsTest, CarriesMegabytesToASlowReader) {
  constexpr int64_t kValues = 1 << 20;
  HttpOptions patient = Options();
  patient.write_timeout = Milliseconds(120'000);
  ServerHarness harness(patient, kValues);
  TlsClientOptions options = Client();
  options.receive_buffer_bytes = 4096;
  RawTlsClient client(harness.port(), options);
  const std::string request = LargeRequest(kValues);
  for (int i = 0; i < 2; ++i) {
    const RawReply reply = client.Ask(request);
    ASSERT_EQ(reply.status, 200);
    // OUTPUT is the input, COUNT how many values it has.
    const size_t json_bytes =
        std::stoul(reply.headers.at("inference-header-content-length"));
    ASSERT_EQ(reply.body.size(), json_bytes + kValues * 4 + 4);
    EXPECT_EQ(reply.body.compare(json_bytes, kValues * 4,
                                 request.substr(request.size() - kValues * 4)),
              0);
  }
  EXPECT_EQ(
      harness.OnLoop([&] { return harness.server().counters(); }).handshakes,
      1u);
}

TEST_F(HttpTlsTest, SpeaksTlsOneTwoAndNoOlder) {
  ServerHarness harness(Options());
  TlsClientOptions options = Client();
  options.max_version = TLS1_2_VERSION;
  RawTlsClient client(harness.port(), options);
  EXPECT_EQ(client.Ask(kLive).status, 200);
  EXPECT_STREQ(client.version(), "TLSv1.2");
  options.max_version = TLS1_1_VERSION;
  RawTlsClient old(harness.port(), options);
  EXPECT_FALSE(old.shaken());
  EXPECT_TRUE(harness.Await(
      [&] { return harness.server().counters().handshakes_failed == 1; }));
}

TEST_F(HttpTlsTest, ServesClientsThatHaveARightCertificate) {
  ServerHarness harness(Options(Clients::kRequired));
  const TlsClientOptions good = ClientWith(authority_.Sign("good"));
  RawTlsClient client(harness.port(), good);
  EXPECT_EQ(client.Ask(InferRequestText()).status, 200);
  // And when it comes again with its session.
  SSL_SESSION* const session = client.TakeSession();
  RawTlsClient again(harness.port(), good, session);
  SSL_SESSION_free(session);
  EXPECT_EQ(again.Ask(InferRequestText()).status, 200);
  EXPECT_TRUE(again.resumed());
  EXPECT_EQ(harness.Counters().handshakes, 2u);
}

TEST_F(HttpTlsTest, RefusesMissingAndWrongClientCertificates) {
  ServerHarness harness(Options(Clients::kRequired));
  for (const TlsClientOptions& bad :
       {Client(), ClientWith(stranger_.Sign("bad"))}) {
    RawTlsClient client(harness.port(), bad);
    EXPECT_EQ(client.Ask(InferRequestText()).status, 0);
  }
  EXPECT_TRUE(harness.Await([&] {
    return harness.server().counters().handshakes_unauthorized == 2;
  }));
  EXPECT_EQ(harness.Counters().handshakes, 0u);
  EXPECT_EQ(harness.OnLoop([&] { return harness.service().num_queries; }), 0u);
}

TEST_F(HttpTlsTest, RefusesWrongCertificatesWhereTheyAreOptional) {
  ServerHarness harness(Options(Clients::kOptional));
  RawTlsClient without(harness.port(), Client());
  EXPECT_EQ(without.Ask(kLive).status, 200);
  RawTlsClient good(harness.port(), ClientWith(authority_.Sign("good")));
  EXPECT_EQ(good.Ask(kLive).status, 200);
  RawTlsClient bad(harness.port(), ClientWith(stranger_.Sign("bad")));
  EXPECT_EQ(bad.Ask(kLive).status, 0);
  // The client may see the end before it is counted.
  EXPECT_TRUE(harness.Await([&] {
    return harness.server().counters().handshakes_unauthorized == 1;
  }));
}

TEST_F(HttpTlsTest, TellsPlainHttpWhatItWants) {
  ServerHarness harness(Options());
  RawHttpClient client(harness.port());
  const RawReply reply = client.Ask(InferRequestText());
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("this port speaks TLS"));
  EXPECT_EQ(reply.headers.at("connection"), "close");
  EXPECT_TRUE(client.AtEnd());
  EXPECT_FALSE(client.WasReset());
  // The client may see the end before it is counted.
  EXPECT_TRUE(harness.Await(
      [&] { return harness.server().counters().handshakes_failed == 1; }));
}

TEST_F(HttpTlsTest, EndsWhatIsNoTlsInOrder) {
  ServerHarness harness(Options());
  const std::string texts[] = {
      "hello\r\n\r\n", std::string(64, '\0'),
      // A record of a handshake, as long as it may be, of nothing.
      std::string("\x16\x03\x01\x40\x00", 5) + std::string(0x4000, 'x'),
      // A ClientHello that announces 16 MB.
      std::string("\x16\x03\x01\x00\x05\x01\xff\xff\xff\x03", 10)};
  for (const std::string& text : texts) {
    RawHttpClient client(harness.port());
    ASSERT_TRUE(client.Send(text));
    client.ShutdownSend();
    // Perhaps an alert, then the end.
    client.ReadReply();
    EXPECT_FALSE(client.WasReset());
  }
  EXPECT_TRUE(harness.Await([&] {
    return harness.server().counters().handshakes_failed == std::size(texts) &&
           harness.server().counters().connections_open == 0;
  }));
}

TEST_F(HttpTlsTest, EndsHandshakesThatDoNotFinish) {
  HttpOptions options = Options();
  options.handshake_timeout = Milliseconds(40);
  options.max_connections = 2;
  ServerHarness harness(options);
  RawHttpClient silent(harness.port());
  RawHttpClient slow(harness.port());
  ASSERT_TRUE(slow.Send(std::string("\x16\x03\x01\x02\x00\x01", 6)));
  EXPECT_TRUE(silent.AtEnd());
  EXPECT_TRUE(slow.AtEnd());
  const HttpCounters counters = harness.Counters();
  EXPECT_EQ(counters.handshake_timeouts, 2u);
  EXPECT_EQ(counters.connections_open, 0u);
}

TEST_F(HttpTlsTest, BoundsConnectionsThatShakeHands) {
  HttpOptions options = Options();
  options.max_connections = 1;
  ServerHarness harness(options);
  RawHttpClient stalled(harness.port());
  ASSERT_TRUE(harness.Await(
      [&] { return harness.server().counters().connections_open == 1; }));
  RawTlsClient refused(harness.port(), Client());
  EXPECT_FALSE(refused.shaken());
  // The client may see the end before it is counted.
  EXPECT_TRUE(harness.Await(
      [&] { return harness.server().counters().connections_refused == 1; }));
}

TEST_F(HttpTlsTest, SurvivesClientsThatLeaveInTheMiddle) {
  ServerHarness harness(Options());
  harness.OnLoop([&] { harness.service().hold = true; });
  {
    RawHttpClient during(harness.port());
    during.Send(std::string("\x16\x03\x01\x02\x00\x01", 6));
    during.Reset();
  }
  {
    RawTlsClient behind(harness.port(), Client());
    ASSERT_TRUE(behind.Send(InferRequestText()));
    ASSERT_TRUE(harness.AwaitHeld(1));
    behind.Reset();
  }
  EXPECT_TRUE(harness.Await([&] {
    return harness.service().abandoned.size() == 1 &&
           harness.server().counters().connections_open == 0;
  }));
}

TEST_F(HttpTlsTest, SaysThatAConnectionEnds) {
  ServerHarness harness(Options());
  RawTlsClient client(harness.port(), Client());
  EXPECT_EQ(client
                .Ask("GET /v2/health/live HTTP/1.1\r\nHost: t\r\n"
                     "Connection: close\r\n\r\n")
                .status,
            200);
  EXPECT_TRUE(client.AtEnd());
  EXPECT_TRUE(client.told_end());
}

TEST_F(HttpTlsTest, DrainsBehindTheLastReply) {
  ServerHarness harness(Options());
  harness.OnLoop([&] { harness.service().hold = true; });
  RawTlsClient waiting(harness.port(), Client());
  RawTlsClient idle(harness.port(), Client());
  EXPECT_EQ(idle.Ask(kLive).status, 200);
  RawHttpClient shaking(harness.port());
  ASSERT_TRUE(waiting.Send(InferRequestText()));
  ASSERT_TRUE(harness.AwaitHeld(1));
  bool drained = false;
  harness.OnLoop(
      [&] { harness.server().Drain([&drained] { drained = true; }); });
  EXPECT_TRUE(idle.AtEnd());
  EXPECT_TRUE(shaking.AtEnd());
  harness.OnLoop([&] { harness.service().Answer(0); });
  EXPECT_EQ(waiting.ReadReply().status, 200);
  EXPECT_TRUE(waiting.AtEnd());
  EXPECT_TRUE(waiting.told_end());
  waiting.Close();
  EXPECT_TRUE(harness.Await([&] { return drained; }));
}

TEST_F(HttpTlsTest, TakesOtherCertificatesWhileItServes) {
  ServerHarness harness(Options());
  RawTlsClient first(harness.port(), Client());
  EXPECT_EQ(first.ServerName(), "server");
  EXPECT_EQ(first.Ask(kLive).status, 200);
  const TestAuthority::Files renewed = authority_.Sign("renewed");
  const TlsIdentity identity = Must(
      {.certificate_chain = renewed.certificate, .private_key = renewed.key});
  EXPECT_THAT(harness.OnLoop([&] { return harness.server().UseTls(identity); }),
              IsOk());
  RawTlsClient second(harness.port(), Client());
  EXPECT_EQ(second.ServerName(), "renewed");
  EXPECT_EQ(second.Ask(kLive).status, 200);
  EXPECT_EQ(first.Ask(kLive).status, 200);
  TlsIdentity broken = identity;
  broken.private_key = ReadFile(server_.key);
  EXPECT_THAT(harness.OnLoop([&] { return harness.server().UseTls(broken); }),
              StatusIs(absl::StatusCode::kInvalidArgument));
  RawTlsClient third(harness.port(), Client());
  EXPECT_EQ(third.ServerName(), "renewed");
}

TEST_F(HttpTlsTest, SaysWhatIsWrongWithFiles) {
  const auto expect = [&](const TlsFiles& files, const char* text) {
    EXPECT_THAT(LoadTlsIdentity(files),
                StatusIs(absl::StatusCode::kInvalidArgument, StartsWith(text)));
  };
  TlsFiles files = Files(Clients::kRequired);
  files.certificate_chain = scratch_ / "missing.pem";
  expect(files, "certificate_chain: cannot be read");
  files.certificate_chain = scratch_.path();
  expect(files, "certificate_chain: cannot be read");
  WriteFile(scratch_ / "empty.pem", "");
  files.certificate_chain = scratch_ / "empty.pem";
  expect(files, "certificate_chain: is empty");
  files.certificate_chain = server_.key;
  expect(files, "certificate_chain: holds no certificate in PEM");
  WriteFile(
      scratch_ / "half.pem",
      ReadFile(server_.certificate) +
          "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  files.certificate_chain = scratch_ / "half.pem";
  expect(files, "certificate_chain: a certificate cannot be read");
  files = Files(Clients::kRequired);
  files.private_key = server_.certificate;
  expect(files, "private_key: holds no private key");
  files.private_key = authority_.Sign("other").key;
  expect(files, "private_key: does not belong to the first certificate");
  files = Files(Clients::kRequired);
  files.client_ca = scratch_ / "missing.pem";
  expect(files, "client_ca: cannot be read");
  files.client_ca = server_.key;
  expect(files, "client_ca: holds no certificate in PEM");
}

TEST_F(HttpTlsTest, RefusesKeysThatHaveAPassphrase) {
  const std::string pem = ReadFile(server_.key);
  BIO* const reader = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  EVP_PKEY* const key =
      PEM_read_bio_PrivateKey(reader, nullptr, nullptr, nullptr);
  BIO* const writer = BIO_new_file((scratch_ / "locked.key").c_str(), "w");
  char passphrase[] = "secret";
  PEM_write_bio_PrivateKey(writer, key, EVP_aes_128_cbc(), nullptr, 0, nullptr,
                           passphrase);
  BIO_free(reader);
  BIO_free_all(writer);
  EVP_PKEY_free(key);
  TlsFiles files = Files();
  files.private_key = scratch_ / "locked.key";
  EXPECT_THAT(LoadTlsIdentity(files),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("without a passphrase")));
}

// A client may change keys as often as it likes. Each time costs a turn of the
// loop, not all that there are.
TEST_F(HttpTlsTest, ReadsNoMoreThanOneRecordThatIsNoData) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
  PARM_ASSERT_OK_AND_ASSIGN(const auto context,
                            TlsContext::Create(Must(Files())));
  TlsSession server(context, ends[0]);
  SSL_CTX* const client_context = SSL_CTX_new(TLS_client_method());
  SSL* const client = SSL_new(client_context);
  SSL_set_fd(client, ends[1]);
  SSL_set_connect_state(client);
  char byte = 0;
  while (SSL_do_handshake(client) != 1 || server.handshaking()) {
    ASSERT_NE(server.Read(boost::asio::buffer(&byte, 1)).outcome,
              TlsSession::Outcome::kFailed);
  }
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(SSL_key_update(client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    ASSERT_EQ(SSL_do_handshake(client), 1);
  }
  ASSERT_EQ(SSL_write(client, "x", 1), 1);
  int num_reads = 1;
  while (server.Read(boost::asio::buffer(&byte, 1)).outcome ==
         TlsSession::Outcome::kAwaitRead) {
    ASSERT_LT(++num_reads, 100);
  }
  EXPECT_EQ(byte, 'x');
  EXPECT_EQ(num_reads, 11);
  SSL_free(client);
  SSL_CTX_free(client_context);
  close(ends[0]);
  close(ends[1]);
}

TEST_F(HttpTlsTest, KnowsWhenItsCertificateEnds) {
  const int64_t now = std::time(nullptr);
  const TlsIdentity identity = Must(Files());
  EXPECT_GT(identity.not_after_unix_s, now + 23 * 3600);
  EXPECT_LE(identity.not_after_unix_s, now + 24 * 3600);
}

}  // namespace
}  // namespace parm
