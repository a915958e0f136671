#include "tests/support/test_certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <memory>

#include "base/status_macros.h"

namespace parm {
namespace {

constexpr long kHour = 3600;

struct Free {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Bio = std::unique_ptr<BIO, Free>;
using Certificate = std::unique_ptr<X509, Free>;
using Key = std::unique_ptr<EVP_PKEY, Free>;

Bio Open(const std::string& path, const char* mode) {
  Bio file(BIO_new_file(path.c_str(), mode));
  PARM_CHECK(file != nullptr);
  return file;
}

void AddExtension(X509* certificate, int kind, const char* value) {
  X509_EXTENSION* const extension =
      X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
  PARM_CHECK(extension != nullptr &&
             X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

/// `issuer` null: signs itself, and may sign others.
TestAuthority::Files Make(const std::string& directory, const std::string& name,
                          const TestAuthority::Files* issuer) {
  static std::atomic<long> last_serial{0};
  const Key key(EVP_EC_gen("P-256"));
  const Certificate made(X509_new());
  PARM_CHECK(key != nullptr && made != nullptr);
  X509_set_version(made.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++last_serial);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -kHour);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 24 * kHour);
  X509_set_pubkey(made.get(), key.get());
  X509_NAME_add_entry_by_txt(
      X509_get_subject_name(made.get()), "CN", MBSTRING_ASC,
      reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  if (issuer == nullptr) {
    X509_set_issuer_name(made.get(), X509_get_subject_name(made.get()));
    AddExtension(made.get(), NID_basic_constraints, "critical,CA:TRUE");
    PARM_CHECK(X509_sign(made.get(), key.get(), EVP_sha256()) > 0);
  } else {
    const Certificate signer(PEM_read_bio_X509(
        Open(issuer->certificate, "r").get(), nullptr, nullptr, nullptr));
    const Key signer_key(PEM_read_bio_PrivateKey(Open(issuer->key, "r").get(),
                                                 nullptr, nullptr, nullptr));
    PARM_CHECK(signer != nullptr && signer_key != nullptr);
    X509_set_issuer_name(made.get(), X509_get_subject_name(signer.get()));
    AddExtension(made.get(), NID_subject_alt_name,
                 "DNS:localhost,IP:127.0.0.1");
    PARM_CHECK(X509_sign(made.get(), signer_key.get(), EVP_sha256()) > 0);
  }
  const TestAuthority::Files files = {
      .certificate = directory + "/" + name + ".pem",
      .key = directory + "/" + name + ".key"};
  PARM_CHECK(
      PEM_write_bio_X509(Open(files.certificate, "w").get(), made.get()) == 1 &&
      PEM_write_bio_PrivateKey(Open(files.key, "w").get(), key.get(), nullptr,
                               nullptr, 0, nullptr, nullptr) == 1);
  return files;
}

}  // namespace

TestAuthority::TestAuthority(const std::string& directory,
                             const std::string& name)
    : directory_(directory), own_(Make(directory, name, nullptr)) {}

TestAuthority::Files TestAuthority::Sign(const std::string& name) const {
  return Make(directory_, name, &own_);
}

}  // namespace parm
