#include "proto/sha256.h"

#include <openssl/evp.h>

#include <fstream>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

class Hasher {
 public:
  Hasher() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    PARM_CHECK(context_ != nullptr);
    PARM_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }

  void Add(absl::string_view bytes) {
    PARM_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) ==
               1);
  }

  Sha256 Finish() {
    Sha256 digest;
    PARM_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1);
    return digest;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string ToHex(const Sha256& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * digest.size());
  for (const uint8_t byte : digest) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 0xF]);
  }
  return hex;
}

absl::StatusOr<Sha256> FromHex(absl::string_view hex) {
  Sha256 digest;
  if (hex.size() != 2 * digest.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected 64 hex digits, got ", hex.size(), " characters"));
  }
  for (size_t i = 0; i < digest.size(); ++i) {
    const int high = HexValue(hex[2 * i]);
    const int low = HexValue(hex[2 * i + 1]);
    if (high < 0 || low < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("expected 64 hex digits, got \"", hex, "\""));
    }
    digest[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return digest;
}

Sha256 Sha256Of(absl::string_view bytes) {
  Hasher hasher;
  hasher.Add(bytes);
  return hasher.Finish();
}

absl::StatusOr<Sha256> Sha256OfFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  Hasher hasher;
  std::vector<char> block(size_t{1} << 16);
  while (file.good()) {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    hasher.Add({block.data(), static_cast<size_t>(file.gcount())});
  }
  // A file that ends well has met its end; a folder opens but cannot be read.
  if (!file.is_open() || !file.eof()) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path));
  }
  return hasher.Finish();
}

std::string ToBytes(const Sha256& digest) {
  return {digest.begin(), digest.end()};
}

}  // namespace parm
