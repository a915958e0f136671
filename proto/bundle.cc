#include "proto/bundle.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "proto/atomic_directory.h"
#include "proto/manifest_check.h"
#include "proto/strict_yaml.h"
#include "proto/wire_codec.h"

namespace parm {
namespace {

namespace fs = std::filesystem;

// proto/README.md states this rule, so that other programs can follow it.
Sha256 BundleId(const bundle::Manifest& manifest, const Sha256& model_file) {
  bundle::Manifest identity;
  identity.set_model(manifest.model());
  identity.set_variant(manifest.variant());
  identity.set_version(manifest.version());
  identity.set_role(manifest.role());
  *identity.mutable_inputs() = manifest.inputs();
  *identity.mutable_outputs() = manifest.outputs();
  identity.set_preprocessing(manifest.preprocessing());
  if (manifest.has_lineage()) *identity.mutable_lineage() = manifest.lineage();
  std::string bytes = ToBytes(model_file);
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    PARM_CHECK(identity.SerializeToCodedStream(&coded));
  }
  return Sha256Of(bytes);
}

Bundle MakeBundle(const std::string& directory, bundle::Manifest manifest,
                  const Sha256& model_file) {
  Bundle result;
  result.directory = directory;
  result.id = BundleId(manifest, model_file);
  result.model_path = absl::StrCat(directory, "/", manifest.file());
  result.manifest = std::move(manifest);
  return result;
}

wire::Role RoleOf(const bundle::Manifest& manifest) {
  if (manifest.role() == "deployed") return wire::DEPLOYED;
  if (manifest.role() == "parity") return wire::PARITY;
  if (manifest.role() == "backup") return wire::BACKUP;
  return wire::ROLE_UNSPECIFIED;
}

std::vector<TensorSpec> ToSpecs(
    const google::protobuf::RepeatedPtrField<bundle::Tensor>& tensors) {
  std::vector<TensorSpec> specs;
  specs.reserve(static_cast<size_t>(tensors.size()));
  for (const bundle::Tensor& tensor : tensors) {
    specs.push_back({.name = tensor.name(),
                     .datatype = ParseDataType(tensor.datatype()),
                     .shape = {tensor.shape().begin(), tensor.shape().end()}});
  }
  return specs;
}

// The model file among `files`, and that all that the manifest names is there.
absl::StatusOr<const BundleFile*> FindModelFile(
    const bundle::Manifest& manifest, const std::vector<BundleFile>& files) {
  std::set<std::string> names;
  const BundleFile* model = nullptr;
  for (const BundleFile& file : files) {
    if (file.name.empty() || file.name.find('/') != std::string::npos ||
        file.name == kManifestFile || !names.insert(file.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("a bundle's files need distinct plain names: got \"",
                       file.name, "\""));
    }
    if (file.name == manifest.file()) model = &file;
  }
  if (model == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("the manifest's file is not among the files: want \"",
                     manifest.file(), "\""));
  }
  if (manifest.has_probes() &&
      (!names.contains(manifest.probes().inputs_npy()) ||
       !names.contains(manifest.probes().outputs_npy()))) {
    return absl::InvalidArgumentError(
        "the manifest's probes are not among the files");
  }
  return model;
}

// By the number of losses, up to the first that was not measured.
void SetAccuracies(const bundle::Measured& measured, wire::BundleInfo* info) {
  info->set_deployed_accuracy(measured.a_a());
  for (uint32_t losses = 1; losses <= wire::kMaxK; ++losses) {
    const auto row =
        std::find_if(measured.a_d().begin(), measured.a_d().end(),
                     [&](const auto& a_d) { return a_d.losses() == losses; });
    if (row == measured.a_d().end()) return;
    info->add_degraded_accuracy(row->accuracy());
  }
}

void SetBins(
    const google::protobuf::RepeatedPtrField<bundle::CalibrationBin>& from,
    google::protobuf::RepeatedPtrField<wire::CalibrationBin>* to) {
  for (const bundle::CalibrationBin& measured : from) {
    wire::CalibrationBin* bin = to->Add();
    bin->set_margin_at_least(measured.margin_at_least());
    bin->set_probability_right(measured.probability_right());
  }
}

bool HoldsOneBundle(const fs::path& directory) {
  std::error_code error;
  return fs::exists(directory / std::string(kManifestFile), error);
}

/// Numbered ones, and nothing else.
bool HoldsSeveralBundles(const fs::path& directory) {
  std::error_code error;
  if (!HoldsOneBundle(directory / "0")) return false;
  for (const fs::path& entry : fs::directory_iterator(directory, error)) {
    int number = 0;
    if (!absl::SimpleAtoi(entry.filename().native(), &number) ||
        !HoldsOneBundle(entry)) {
      return false;
    }
  }
  return !error;
}

/// The file that tells one bundle, or several, from other things.
std::string MarkerOf(size_t num_bundles) {
  return absl::StrCat(num_bundles == 1 ? "" : "0/", kManifestFile);
}

/// Fills in format and digest, and gives the bundle's files as they go to disk,
/// their names behind `folder`.
absl::StatusOr<std::vector<DirectoryFile>> CompleteBundle(
    const std::vector<BundleFile>& files, const std::string& folder,
    bundle::Manifest* manifest) {
  PARM_ASSIGN_OR_RETURN(const BundleFile* model,
                        FindModelFile(*manifest, files));
  manifest->set_format(kManifestFormat);
  manifest->set_file_sha256(ToHex(Sha256Of(model->contents)));

  // What LoadBundle will do, before anything is on disk: figures that are no
  // numbers and text that YAML cannot hold are caught here.
  const std::string yaml = WriteYaml(*manifest);
  bundle::Manifest read_back;
  YamlLines lines;
  PARM_RETURN_IF_ERROR(
      ParseStrictYaml(yaml, kManifestFile, &read_back, &lines));
  PARM_RETURN_IF_ERROR(CheckManifest(read_back, kManifestFile, lines));

  std::vector<DirectoryFile> contents = {
      {absl::StrCat(folder, kManifestFile), yaml}};
  for (const BundleFile& file : files) {
    contents.push_back({folder + file.name, file.contents});
  }
  return contents;
}

}  // namespace

absl::StatusOr<Bundle> LoadBundle(const std::string& directory) {
  const std::string path = absl::StrCat(directory, "/", kManifestFile);
  bundle::Manifest manifest;
  YamlLines lines;
  PARM_RETURN_IF_ERROR(LoadStrictYaml(path, &manifest, &lines));
  PARM_RETURN_IF_ERROR(CheckManifest(manifest, path, lines));
  PARM_ASSIGN_OR_RETURN(
      const Sha256 model_file,
      Sha256OfFile(absl::StrCat(directory, "/", manifest.file())));
  PARM_ASSIGN_OR_RETURN(const Sha256 want, FromHex(manifest.file_sha256()));
  if (model_file != want) {
    return absl::DataLossError(
        absl::StrCat("model file is not the one of its manifest: ", directory,
                     "/", manifest.file(), " has sha256 ", ToHex(model_file),
                     ", want ", manifest.file_sha256()));
  }
  return MakeBundle(directory, std::move(manifest), model_file);
}

absl::StatusOr<Bundle> WriteBundle(const std::string& directory,
                                   bundle::Manifest manifest,
                                   const std::vector<BundleFile>& files) {
  PARM_ASSIGN_OR_RETURN(const std::vector<DirectoryFile> contents,
                        CompleteBundle(files, "", &manifest));
  PARM_RETURN_IF_ERROR(
      WriteDirectoryAtomically(directory, contents, MarkerOf(1)));
  PARM_ASSIGN_OR_RETURN(const Sha256 model_file,
                        FromHex(manifest.file_sha256()));
  return MakeBundle(directory, std::move(manifest), model_file);
}

absl::Status WriteBundles(const std::string& directory,
                          const std::vector<BundleContents>& bundles) {
  std::vector<DirectoryFile> contents;
  for (size_t i = 0; i < bundles.size(); ++i) {
    const std::string folder = bundles.size() == 1 ? "" : absl::StrCat(i, "/");
    bundle::Manifest manifest = bundles[i].manifest;
    PARM_ASSIGN_OR_RETURN(std::vector<DirectoryFile> of_one,
                          CompleteBundle(bundles[i].files, folder, &manifest));
    std::move(of_one.begin(), of_one.end(), std::back_inserter(contents));
  }
  PARM_RETURN_IF_ERROR(
      CheckReplaceable(directory, static_cast<int>(bundles.size())));
  return WriteDirectoryAtomically(directory, contents,
                                  MarkerOf(bundles.size()));
}

absl::Status CheckReplaceable(const std::string& directory, int num_bundles) {
  std::error_code error;
  if (!fs::exists(directory, error)) return absl::OkStatus();
  const bool fits = num_bundles == 1 ? HoldsOneBundle(directory)
                                     : HoldsSeveralBundles(directory);
  if (fits ||
      (fs::is_directory(directory, error) && fs::is_empty(directory, error))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "refused to replace ", directory, ": want ",
      num_bundles == 1 ? "a bundle"
                       : "a folder of bundles 0, 1 .. without other things",
      " there, or nothing"));
}

wire::BundleInfo ToBundleInfo(const Bundle& bundle) {
  const bundle::Manifest& manifest = bundle.manifest;
  wire::BundleInfo info;
  info.set_sha256(ToBytes(bundle.id));
  info.set_model(manifest.model());
  info.set_variant(manifest.variant());
  info.set_version(manifest.version());
  info.set_role(RoleOf(manifest));
  for (const TensorSpec& spec : InputSpecs(manifest)) {
    *info.add_inputs() = wire::ToWire(spec);
  }
  for (const TensorSpec& spec : OutputSpecs(manifest)) {
    *info.add_outputs() = wire::ToWire(spec);
  }
  if (manifest.has_lineage()) {
    const bundle::Lineage& from = manifest.lineage();
    wire::Lineage* lineage = info.mutable_lineage();
    const absl::StatusOr<Sha256> deployed = FromHex(from.deployed_sha256());
    PARM_CHECK(deployed.ok());  // LoadBundle and WriteBundle checked it.
    lineage->set_deployed_sha256(ToBytes(*deployed));
    lineage->mutable_code()->set_scheme(from.code().scheme());
    lineage->mutable_code()->set_k(from.code().k());
    lineage->mutable_code()->set_r(from.code().r());
    lineage->set_parity_index(from.parity_index());
  }
  info.set_relative_cost(manifest.measured().relative_cost());
  SetAccuracies(manifest.measured(), &info);
  SetBins(manifest.measured().calibration(), info.mutable_calibration());
  for (const auto& from : manifest.measured().pattern_calibration()) {
    wire::PatternCalibration* pattern = info.add_pattern_calibration();
    pattern->set_losses(from.losses());
    uint32_t parities = 0;
    for (const uint32_t parity : from.parities()) parities |= 1U << parity;
    pattern->set_parities(parities);
    SetBins(from.calibration(), pattern->mutable_calibration());
  }
  return info;
}

std::vector<TensorSpec> InputSpecs(const bundle::Manifest& manifest) {
  return ToSpecs(manifest.inputs());
}

std::vector<TensorSpec> OutputSpecs(const bundle::Manifest& manifest) {
  return ToSpecs(manifest.outputs());
}

}  // namespace parm
