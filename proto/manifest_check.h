#pragma once

// What bundle.yaml must say beyond its schema: roles, datatypes, shapes,
// lineage and figures that make sense. Part of reading and writing bundles.

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "proto/bundle.pb.h"
#include "proto/strict_yaml.h"

namespace parm {

inline constexpr uint32_t kManifestFormat = 1;
inline constexpr absl::string_view kManifestFile = "bundle.yaml";

/// `lines` comes from ParseStrictYaml and gives each message its line.
/// Errors: kInvalidArgument "FILE:LINE: key: expected X, got Y".
absl::Status CheckManifest(const bundle::Manifest& manifest,
                           absl::string_view file, const YamlLines& lines);

}  // namespace parm
