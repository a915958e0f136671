#pragma once

// A bundle on disk: a directory with bundle.yaml and a model file. Workers and
// the trainer load them; the trainer writes them; a frontend only hears of them
// in a worker's Hello.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/tensor.h"
#include "proto/bundle.pb.h"
#include "proto/envelope.pb.h"
#include "proto/sha256.h"

namespace parm {

/// A manifest that has been checked against its files.
struct Bundle {
  std::string directory;
  bundle::Manifest manifest;
  /// The bundle's id: sha256 of the model file's sha256 followed by the
  /// identity-bearing part of the manifest (model, variant, version, role,
  /// inputs, outputs, preprocessing, lineage), so that measured figures can be
  /// rewritten without a new identity.
  Sha256 id;
  std::string model_path;  // directory + "/" + manifest.file
};

/// Reads and checks `directory`/bundle.yaml and the model file's digest.
/// Errors: kNotFound if the directory, manifest or model file is missing;
/// kInvalidArgument "FILE:LINE: ..." for a manifest outside the schema, or one
/// whose role, datatypes, shapes, lineage or figures make no sense; kDataLoss
/// if the model file's digest differs (truncated or swapped).
absl::StatusOr<Bundle> LoadBundle(const std::string& directory);

/// One further file of a bundle (the model, the probes).
struct BundleFile {
  std::string name;  // without a folder
  std::string contents;
};

/// Writes a bundle atomically: into a temporary directory beside `directory`,
/// synced, then renamed into place; an existing bundle there is replaced.
/// Fills in format, file_sha256. `files` must hold manifest.file.
/// Errors: kInvalidArgument as LoadBundle; kResourceExhausted or kUnavailable
/// with the system's words if the disk is full or read-only; nothing is then
/// left behind and an existing bundle is untouched. Also kInvalidArgument if
/// `directory` holds something that is no bundle.
absl::StatusOr<Bundle> WriteBundle(const std::string& directory,
                                   bundle::Manifest manifest,
                                   const std::vector<BundleFile>& files);

/// What a bundle is made of.
struct BundleContents {
  bundle::Manifest manifest;
  std::vector<BundleFile> files;
};

/// Writes bundles that belong together, such as all parities of a code: one as
/// WriteBundle, several as `directory`/0, `directory`/1 .., all of them in one
/// step or none. Needs: one or more.
/// Errors: as WriteBundle, and CheckReplaceable.
absl::Status WriteBundles(const std::string& directory,
                          const std::vector<BundleContents>& bundles);

/// Whether so many bundles may replace what is at `directory`, if anything is;
/// asked before there is anything to write.
/// Errors: kInvalidArgument if what is there is neither empty nor, for one, a
/// bundle, for several, a folder of bundles 0, 1 .. and nothing else.
absl::Status CheckReplaceable(const std::string& directory, int num_bundles);

/// What a worker's Hello says of a bundle.
wire::BundleInfo ToBundleInfo(const Bundle& bundle);

/// Inputs or outputs of a manifest as specs.
/// Needs: from a checked manifest.
std::vector<TensorSpec> InputSpecs(const bundle::Manifest& manifest);
std::vector<TensorSpec> OutputSpecs(const bundle::Manifest& manifest);

}  // namespace parm
