#pragma once

// A QueryService that answers by itself: model "echo", whose output OUTPUT is
// its input INPUT and whose output COUNT says how many values that has. Or it
// holds queries until a test answers them.

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/serve/query_service.h"

namespace parm {

class FakeQueryService final : public QueryService {
 public:
  /// `num_values`: length of dimension 1 of INPUT.
  FakeQueryService(boost::asio::io_context& io, int64_t num_values)
      : io_(io), num_values_(num_values) {}

  // What a test sets.
  bool hold = false;  // answer only through Answer
  bool ready = true;
  bool told = true;  // false: no worker has told what the model looks like
  std::string source = "exact";
  std::optional<float> confidence;
  absl::Status failure;  // what every query gets, if not OK
  int retry_after_s = 0;
  std::string metrics_text = "parm_queries_total 1\n";

  // What a test looks at.
  std::vector<QueryHandle> abandoned;
  oip::InferRequest last_request;
  uint64_t num_queries = 0;
  const std::map<QueryHandle, std::pair<oip::InferRequest, Done>>& held()
      const {
    return held_;
  }

  /// Answers the held query that arrived `index`-th of those that are held.
  void Answer(size_t index) {
    const auto entry = std::next(held_.begin(), static_cast<long>(index));
    auto [request, done] = std::move(entry->second);
    held_.erase(entry);
    done(MakeReply(request));
  }

  QueryHandle Infer(oip::InferRequest request, Done done) override {
    ++num_queries;
    const auto handle = QueryHandle(num_queries);
    last_request = request;
    held_.emplace(handle, std::make_pair(std::move(request), std::move(done)));
    if (!hold) {
      boost::asio::post(io_, [this, handle] {
        const auto entry = held_.find(handle);
        if (entry == held_.end()) return;  // abandoned
        auto [held_request, held_done] = std::move(entry->second);
        held_.erase(entry);
        held_done(MakeReply(held_request));
      });
    }
    return handle;
  }

  void Abandon(QueryHandle handle) override {
    PARM_CHECK(held_.erase(handle) == 1);
    abandoned.push_back(handle);
  }

  bool Ready() const override { return ready; }

  absl::StatusOr<bool> ModelReady(const std::string& model,
                                  const std::string& version) const override {
    PARM_RETURN_IF_ERROR(CheckModel(model, version));
    return ready;
  }

  absl::StatusOr<ModelMetadata> Metadata(
      const std::string& model, const std::string& version) const override {
    PARM_RETURN_IF_ERROR(CheckModel(model, version));
    if (!told) return absl::UnavailableError("no worker serves this model yet");
    return ModelMetadata{
        .name = "echo",
        .versions = {"1"},
        .platform = "parm_test",
        .inputs = {{"INPUT", DataType::kFp32, {-1, num_values_}}},
        .outputs = {{"OUTPUT", DataType::kFp32, {-1, num_values_}},
                    {"COUNT", DataType::kInt32, {-1, 1}}},
        .max_batch_size = 8};
  }

  std::vector<std::string> ModelNames() const override { return {"echo"}; }

  absl::StatusOr<std::vector<oip::ModelStatistics>> Statistics(
      const std::string& model, const std::string& version) const override {
    if (!model.empty()) PARM_RETURN_IF_ERROR(CheckModel(model, version));
    return std::vector<oip::ModelStatistics>{
        {.name = "echo",
         .version = "1",
         .last_inference_ms = 1000,
         .inferences = 5,
         .executions = 3,
         .success = {.count = 4, .ns = 400},
         .fail = {.count = 2, .ns = 20},
         .queue = {.count = 6, .ns = 60}}};
  }
  std::string MetricsText() override { return metrics_text; }

 private:
  absl::Status CheckModel(const std::string& model,
                          const std::string& version) const {
    if (model == "echo" && (version.empty() || version == "1")) {
      return absl::OkStatus();
    }
    return absl::NotFoundError(absl::StrCat("unknown model: got '", model,
                                            "' version '", version, "'"));
  }

  absl::Status CheckRequest(const oip::InferRequest& request) const {
    PARM_RETURN_IF_ERROR(CheckModel(request.model_name, request.model_version));
    if (request.inputs.size() != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("the number of inputs is wrong: got ",
                       request.inputs.size(), ", want 1"));
    }
    const TensorSpec& input = request.inputs[0].spec;
    if (input.name != "INPUT") {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown input: got '", input.name, "', want 'INPUT'"));
    }
    if (input.datatype != DataType::kFp32 || input.shape.size() != 2 ||
        input.shape[1] != num_values_) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the shape of an input is wrong: got ", DataTypeName(input.datatype),
          ShapeToString(input.shape), ", want FP32[-1,", num_values_, "]"));
    }
    return absl::OkStatus();
  }

  QueryReply MakeReply(const oip::InferRequest& request) const {
    QueryReply reply;
    reply.status = failure.ok() ? CheckRequest(request) : failure;
    reply.retry_after_s = retry_after_s;
    if (!reply.status.ok()) return reply;
    const oip::Tensor& input = request.inputs[0];
    const auto count = static_cast<int32_t>(input.data.size() / sizeof(float));
    std::byte* data;
    Buffer counted = Buffer::Allocate(sizeof(count), &data);
    std::memcpy(data, &count, sizeof(count));
    reply.response = {
        .model_name = "echo",
        .model_version = "1",
        .id = request.id,
        .outputs = {{{"OUTPUT", DataType::kFp32, input.spec.shape}, input.data},
                    {{"COUNT", DataType::kInt32, {1, 1}}, counted}}};
    reply.source = source;
    reply.confidence = confidence;
    return reply;
  }

  boost::asio::io_context& io_;
  const int64_t num_values_;
  std::map<QueryHandle, std::pair<oip::InferRequest, Done>> held_;
};

}  // namespace parm
