#pragma once

// Files of CURVE keys, by which frontends and workers encrypt what they say to
// one another over ZeroMQ and know who is there. A file holds one key, 40
// characters of ZeroMQ's Z85, in a line of its own; lines that begin with # are
// for people. A public key's file may be read by anyone.

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace parm {

struct CurveKeys {
  std::string public_key;
  std::string secret_key;
};

/// Errors: kInvalidArgument naming the file: it cannot be read, or holds
/// something else than one key.
absl::StatusOr<std::string> LoadCurveKey(const std::string& path);

/// Reads a secret key and computes the public one.
/// Errors: as LoadCurveKey.
absl::StatusOr<CurveKeys> LoadCurveKeys(const std::string& secret_path);

/// Makes a pair: the secret key in `path`, which its owner alone may read, the
/// public one in `path`.pub.
/// Errors: kAlreadyExists if one of them is there; kUnavailable with the
/// system's words if one cannot be written; kUnimplemented if libzmq was built
/// without CURVE.
absl::Status MakeCurveKeys(const std::string& path);

}  // namespace parm
