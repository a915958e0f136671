#pragma once

// Manifests that pass every check, for tests to use or to break.

#include <string>

#include "proto/bundle.pb.h"

namespace parm {

/// A deployed classifier of 28x28 images; file and file_sha256 are the
/// writer's.
inline bundle::Manifest DeployedManifest() {
  bundle::Manifest manifest;
  manifest.set_model("fashion");
  manifest.set_variant("mlp");
  manifest.set_version("1");
  manifest.set_role("deployed");
  manifest.set_file("model.pt");
  bundle::Tensor* input = manifest.add_inputs();
  input->set_name("image");
  input->set_datatype("FP32");
  for (int dimension : {-1, 1, 28, 28}) input->add_shape(dimension);
  bundle::Tensor* output = manifest.add_outputs();
  output->set_name("logits");
  output->set_datatype("FP32");
  for (int dimension : {-1, 10}) output->add_shape(dimension);
  manifest.set_preprocessing("uint8 / 255");
  bundle::Measured* measured = manifest.mutable_measured();
  measured->set_data("fashion-mnist");
  measured->set_samples(10000);
  measured->set_a_a(0.88);
  return manifest;
}

/// The same as the parity model of a `sum` code over two members.
inline bundle::Manifest ParityManifest(const std::string& deployed_hex) {
  bundle::Manifest manifest = DeployedManifest();
  manifest.set_role("parity");
  bundle::Lineage* lineage = manifest.mutable_lineage();
  lineage->set_deployed_sha256(deployed_hex);
  lineage->mutable_code()->set_scheme("sum");
  lineage->mutable_code()->set_k(2);
  lineage->mutable_code()->set_r(1);
  bundle::DegradedAccuracy* a_d = manifest.mutable_measured()->add_a_d();
  a_d->set_losses(1);
  a_d->set_accuracy(0.8);
  a_d->set_samples(10000);
  return manifest;
}

}  // namespace parm
