#pragma once

// Keys and certificates for tests of TLS, made anew each time: nothing that is
// committed can end. Elliptic curves, as they are quick to make.

#include <string>

namespace parm {

/// An authority of its own, and what it signs, as PEM files.
class TestAuthority {
 public:
  struct Files {
    std::string certificate;
    std::string key;
  };

  /// Writes DIRECTORY/NAME.pem and NAME.key.
  TestAuthority(const std::string& directory, const std::string& name);

  /// Path of its own certificate.
  const std::string& certificate() const { return own_.certificate; }

  /// Writes DIRECTORY/NAME.pem and NAME.key, for the common name `name`, the
  /// host "localhost" and 127.0.0.1, good for a day.
  Files Sign(const std::string& name) const;

 private:
  const std::string directory_;
  const Files own_;
};

}  // namespace parm
