#pragma once

// What other model servers want beside a TorchScript file: their configuration
// and a few lines of Python that run it.

#include <string>

#include "base/tensor.h"

namespace parm {

/// A bundle's model as another server is to know it.
struct ExportedModel {
  std::string name;
  std::string version;
  std::string origin;  // the bundle and its id, for a comment
  TensorSpec input;    // with the batch, -1
  TensorSpec output;   // as the model answers; of multi-output codes [k,-1,..]

  /// Whether dimension 0 of both is the batch, so that a server may put
  /// queries together.
  bool batched() const;
};

/// config.pbtxt and 1/model.py of a model in a Triton repository; its python
/// backend runs it.
std::string TritonConfig(const ExportedModel& model);
std::string TritonModelPy(const ExportedModel& model);

/// model-settings.json and the Python module that it names, without ".py".
std::string MlServerModule(const ExportedModel& model);
std::string MlServerModelSettings(const ExportedModel& model);
std::string MlServerModelPy(const ExportedModel& model);
/// settings.json of a server: loopback, no worker processes.
std::string MlServerSettings();

}  // namespace parm
