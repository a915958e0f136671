#include "proto/curve_keys.h"

#include <fcntl.h>
#include <unistd.h>
#include <zmq.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"

namespace parm {
namespace {

constexpr size_t kKeyCharacters = 40;
constexpr size_t kKeyBytes = 32;
constexpr mode_t kOwnerReads = 0600;
constexpr mode_t kAllRead = 0644;

bool IsKey(const std::string& text) {
  std::array<uint8_t, kKeyBytes> key;
  return text.size() == kKeyCharacters &&
         zmq_z85_decode(key.data(), text.c_str()) != nullptr;
}

absl::Status WriteNew(const std::string& path, mode_t mode,
                      const std::string& text) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, mode);
  if (file < 0 && errno == EEXIST) {
    return absl::AlreadyExistsError(absl::StrCat("is there already: ", path));
  }
  const bool written = file >= 0 && write(file, text.data(), text.size()) ==
                                        static_cast<ssize_t>(text.size());
  const int error = errno;
  if (file >= 0) close(file);
  if (written) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("cannot be written: ", path, " (", strerror(error), ")"));
}

}  // namespace

absl::StatusOr<std::string> LoadCurveKey(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) {
    return absl::InvalidArgumentError(
        absl::StrCat("a key's file cannot be read: ", path));
  }
  std::string key;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    if (!key.empty() || !IsKey(std::string(line))) {
      return absl::InvalidArgumentError(absl::StrCat(
          "want one key of 40 characters (Z85) in a line of its own: ", path));
    }
    key = std::string(line);
  }
  if (key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a key's file holds no key: ", path));
  }
  return key;
}

absl::StatusOr<CurveKeys> LoadCurveKeys(const std::string& secret_path) {
  CurveKeys keys;
  PARM_ASSIGN_OR_RETURN(keys.secret_key, LoadCurveKey(secret_path));
  std::array<char, kKeyCharacters + 1> text;
  if (zmq_curve_public(text.data(), keys.secret_key.c_str()) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no secret key (", zmq_strerror(zmq_errno()), "): ", secret_path));
  }
  keys.public_key = text.data();
  return keys;
}

absl::Status MakeCurveKeys(const std::string& path) {
  std::array<char, kKeyCharacters + 1> public_key;
  std::array<char, kKeyCharacters + 1> secret_key;
  if (zmq_curve_keypair(public_key.data(), secret_key.data()) != 0) {
    return absl::UnimplementedError(
        absl::StrCat("no keys can be made: ", zmq_strerror(zmq_errno())));
  }
  PARM_RETURN_IF_ERROR(
      WriteNew(path, kOwnerReads,
               absl::StrCat("# A secret key: keep it to yourself.\n",
                            secret_key.data(), "\n")));
  return WriteNew(path + ".pub", kAllRead,
                  absl::StrCat("# The public key of ", path, "\n",
                               public_key.data(), "\n"));
}

}  // namespace parm
