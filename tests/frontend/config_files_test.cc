// What a configuration names beside itself: captures, certificates, keys.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "frontend/frontend_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/curve_keys.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/test_certificates.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// One worker, and these models.
std::string WithModels(const std::string& models) {
  return absl::StrCat("workers: [{endpoint: \"ipc:///a\"}]\nmodels:\n", models);
}

TEST(ConfigFilesTest, CapturesIntoADirectoryBesideTheFile) {
  const ScratchDirectory directory;
  std::filesystem::create_directory(directory / "captured");
  PARM_ASSERT_OK_AND_ASSIGN(
      const FrontendOptions options,
      ParseFrontendConfig(
          WithModels("  - {name: plain}\n"
                     "  - name: m\n"
                     "    capture: {directory: captured, max_queries: 5,\n"
                     "              max_bytes: 6, max_per_second: 0.5,\n"
                     "              sample: 0.25, seed: 7}\n"
                     "  - {name: n, capture: {directory: .}}\n"),
          directory / "f.yaml"));
  ASSERT_EQ(options.captures.size(), 3U);
  EXPECT_EQ(options.captures[0].options.directory, "");
  const CaptureOptions& capture = options.captures[1].options;
  EXPECT_EQ(options.captures[1].name, "m");
  EXPECT_EQ(capture.directory,
            std::filesystem::canonical(directory / "captured"));
  EXPECT_EQ(capture.max_queries, 5U);
  EXPECT_EQ(capture.max_bytes, 6U);
  EXPECT_EQ(capture.max_per_second, 0.5);
  EXPECT_EQ(capture.sample, 0.25);
  EXPECT_EQ(capture.seed, 7U);
  EXPECT_EQ(options.captures[2].options.max_queries, 10'000U);
  EXPECT_EQ(options.captures[2].options.sample, 0.01);
}

TEST(ConfigFilesTest, RefusesCapturesThatCouldNotWrite) {
  const ScratchDirectory directory;
  std::filesystem::create_directory(directory / "captured");
  for (const auto& [section, text] :
       std::vector<std::pair<std::string, std::string>>{
           {"{directory: missing}", "No such file or directory"},
           {"{directory: captured/../f.yaml}", "capture directory"},
           {"{directory: ./captured}", "capture directory given twice"},
           {"{max_queries: 5}", "directory"},
           {"{directory: captured, sample: 0}", "sample"},
           {"{directory: captured, sample: 1.5}", "sample"},
           {"{directory: captured, max_bytes: 0}", "max_bytes"},
           {"{directory: captured, rate: 5}", "rate"}}) {
    const std::string file = directory / "f.yaml";
    EXPECT_THAT(ParseFrontendConfig(
                    WithModels(absl::StrCat(
                        "  - {name: l, capture: {directory: captured}}\n"
                        "  - name: m\n    capture: ",
                        section, "\n")),
                    file),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(StartsWith(absl::StrCat(file, ":5: ")),
                               HasSubstr(text))))
        << section;
  }
}

TEST(ConfigFilesTest, ReadsCertificatesBesideTheFile) {
  const ScratchDirectory scratch;
  const TestAuthority authority(scratch.path(), "authority");
  authority.Sign("server");
  const std::string file = scratch / "f.yaml";
  const auto parse = [&](const std::string& sections) {
    return ParseFrontendConfig(
        absl::StrCat("workers: [{endpoint: \"tcp://a:1\"}]\n"
                     "models: [{name: m}]\n",
                     sections),
        file);
  };
  const std::string own =
      "certificate_chain: server.pem, private_key: "
      "server.key";
  PARM_ASSERT_OK_AND_ASSIGN(
      const FrontendOptions options,
      parse("http: {tls: {" + own +
            ", client_ca: authority.pem, client_certificates: optional}}\n"
            "grpc: {tls: {" +
            own + ", handshake_timeout: 2s}}\n"));
  ASSERT_TRUE(options.tls.http.identity.has_value());
  EXPECT_EQ(options.tls.http.identity->private_key,
            ReadFile(scratch / "server.key"));
  EXPECT_FALSE(options.tls.http.identity->require_client_certificate);
  EXPECT_EQ(options.tls.http.handshake_timeout, Milliseconds(10'000));
  ASSERT_TRUE(options.tls.grpc.identity.has_value());
  EXPECT_EQ(options.tls.grpc.identity->client_ca, "");
  EXPECT_EQ(options.tls.grpc.handshake_timeout, Milliseconds(2000));

  for (const auto& [keys, want] :
       {std::pair{"certificate_chain: server.pem", "private_key"},  // required
        std::pair{", client_certificates: require", "needs client_ca"},
        std::pair{", client_certificates: maybe", "client_certificates"},
        std::pair{", handshake_timeout: 0s", "must be 1ms or more"},
        std::pair{", client_ca: none.pem", "client_ca: cannot be read"}}) {
    const std::string text = *keys == ',' ? own + keys : std::string(keys);
    EXPECT_THAT(parse("grpc:\n  tls: {" + text + "}\n"),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(StartsWith(file + ":4: "), HasSubstr(want))));
  }
}

TEST(ConfigFilesTest, GivesEveryWorkerAServerKey) {
  const ScratchDirectory scratch;
  for (const char* const name : {"own", "common", "special"}) {
    ASSERT_THAT(MakeCurveKeys(scratch / name), IsOk());
  }
  const auto parse = [&](const std::string& second, const std::string& curve) {
    return ParseFrontendConfig(
        absl::StrCat("workers:\n  - {endpoint: \"tcp://a:1\"}\n  - {", second,
                     "}\nmodels: [{name: m}]\n", curve, "\n"),
        scratch / "f.yaml");
  };
  const std::string special =
      "endpoint: \"tcp://a:2\", server_key: special.pub";
  PARM_ASSERT_OK_AND_ASSIGN(
      const FrontendOptions options,
      parse(special, "curve: {secret_key: own, server_key: common.pub}"));
  PARM_ASSERT_OK_AND_ASSIGN(const CurveKeys own,
                            LoadCurveKeys(scratch / "own"));
  EXPECT_EQ(options.upstream.keys.secret_key, own.secret_key);
  EXPECT_EQ(options.upstream.keys.public_key, own.public_key);
  PARM_ASSERT_OK_AND_ASSIGN(const std::string common,
                            LoadCurveKey(scratch / "common.pub"));
  PARM_ASSERT_OK_AND_ASSIGN(const std::string other,
                            LoadCurveKey(scratch / "special.pub"));
  EXPECT_EQ(options.upstream.workers[0].server_key, common);
  EXPECT_EQ(options.upstream.workers[1].server_key, other);

  struct WrongKeys {
    std::string second;
    const char* curve;
    int line;
    const char* want;
  };
  for (const WrongKeys& wrong :
       {WrongKeys{special, "", 3, "server_key needs a section curve"},
        WrongKeys{special, "curve: {secret_key: own}", 2, "no server_key"},
        WrongKeys{special, "curve: {secret_key: none, server_key: common.pub}",
                  5, "cannot be read"},
        WrongKeys{special, "curve: {secret_key: own, server_key: f.yaml}", 5,
                  "cannot be read"},
        WrongKeys{"endpoint: \"http://a:2\", server_key: special.pub",
                  "curve: {secret_key: own, server_key: common.pub}", 3,
                  "server_key is for parm-workers"}}) {
    EXPECT_THAT(
        parse(wrong.second, wrong.curve),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 AllOf(HasSubstr(absl::StrCat("f.yaml:", wrong.line, ": ")),
                       HasSubstr(wrong.want))));
  }
}

}  // namespace
}  // namespace parm
