#include "proto/oip/infer_response_codec.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/proto/oip/random_tensor.h"
#include "tests/support/matchers.h"

namespace parm::oip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;

std::string BytesOf(const Tensor& tensor) {
  return std::string(reinterpret_cast<const char*>(tensor.data.bytes().data()),
                     tensor.data.size());
}

template <typename T>
Tensor TensorOf(std::string name, DataType datatype, std::vector<T> values) {
  return {{std::move(name), datatype, {static_cast<int64_t>(values.size())}},
          Buffer::CopyOf(absl::MakeConstSpan(
              reinterpret_cast<const std::byte*>(values.data()),
              values.size() * sizeof(T)))};
}

InferResponse SmallResponse() {
  InferResponse response{.model_name = "m", .model_version = "3", .id = "q"};
  response.outputs = {TensorOf<float>("a", DataType::kFp32, {0.5F, -2}),
                      TensorOf<int32_t>("b", DataType::kInt32, {7})};
  return response;
}

TEST(InferResponseCodecTest, RoundTripsEveryDatatypeBothWays) {
  InferResponseParser parser;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    for (const bool binary : {false, true}) {
      SCOPED_TRACE(absl::StrCat("seed=", seed, " binary=", binary));
      std::mt19937_64 random(seed);
      InferResponse want{.model_name = RandomText(random),
                         .model_version = "1",
                         .id = RandomText(random)};
      want.parameters = {{"a", true}, {"b", 0.1}, {"c", RandomText(random)}};
      for (const DataType datatype : kJsonDataTypes) {
        want.outputs.push_back(RandomTensor(
            absl::StrCat(DataTypeName(datatype)), datatype, random));
      }
      if (binary) {
        for (const DataType datatype : kBinaryOnlyDataTypes) {
          want.outputs.push_back(RandomTensor(
              absl::StrCat(DataTypeName(datatype)), datatype, random));
        }
      }
      PARM_ASSERT_OK_AND_ASSIGN(const EncodedBody encoded,
                                WriteInferResponse(want, {}, binary));
      EXPECT_EQ(encoded.binary, binary);
      PARM_ASSERT_OK_AND_ASSIGN(const InferResponse got,
                                parser.Parse(Flatten(encoded)));
      EXPECT_EQ(got.model_name, want.model_name);
      EXPECT_EQ(got.model_version, want.model_version);
      EXPECT_EQ(got.id, want.id);
      EXPECT_EQ(got.parameters, want.parameters);
      ASSERT_EQ(got.outputs.size(), want.outputs.size());
      for (size_t i = 0; i < want.outputs.size(); ++i) {
        EXPECT_EQ(got.outputs[i].spec, want.outputs[i].spec);
        EXPECT_EQ(BytesOf(got.outputs[i]), BytesOf(want.outputs[i]));
      }
    }
  }
}

TEST(InferResponseCodecTest, WritesTheseExactBytes) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const EncodedBody json,
      WriteInferResponse(SmallResponse(), {}, false,
                         {.source = "reconstructed", .confidence = 0.5F}));
  EXPECT_EQ(json.json,
            R"({"model_name":"m","model_version":"3","id":"q",)"
            R"("parameters":{"parm_source":"reconstructed",)"
            R"("parm_confidence":0.5},"outputs":[)"
            R"({"name":"a","datatype":"FP32","shape":[2],"data":[0.5,-2]},)"
            R"({"name":"b","datatype":"INT32","shape":[1],"data":[7]}]})");
  EXPECT_FALSE(json.binary);
  PARM_ASSERT_OK_AND_ASSIGN(const EncodedBody binary,
                            WriteInferResponse(SmallResponse(), {}, true));
  EXPECT_EQ(binary.json,
            R"({"model_name":"m","model_version":"3","id":"q","outputs":[)"
            R"({"name":"a","datatype":"FP32","shape":[2],)"
            R"("parameters":{"binary_data_size":8}},)"
            R"({"name":"b","datatype":"INT32","shape":[1],)"
            R"("parameters":{"binary_data_size":4}}]})");
  EXPECT_TRUE(binary.binary);
  EXPECT_EQ(binary.tensors.size(), 2u);
}

TEST(InferResponseCodecTest, WritesOnlyWhatWasRequestedInOrder) {
  const RequestedOutput requested[] = {{.name = "b", .binary = true},
                                       {.name = "a"}};
  PARM_ASSERT_OK_AND_ASSIGN(
      const EncodedBody body,
      WriteInferResponse(SmallResponse(), requested, true));
  PARM_ASSERT_OK_AND_ASSIGN(const InferResponse got,
                            InferResponseParser().Parse(Flatten(body)));
  ASSERT_EQ(got.outputs.size(), 2u);
  EXPECT_EQ(got.outputs[0].spec.name, "b");
  EXPECT_EQ(got.outputs[1].spec.name, "a");
  EXPECT_EQ(body.tensors.size(), 1u);

  const RequestedOutput unknown[] = {{.name = "c"}};
  EXPECT_THAT(WriteInferResponse(SmallResponse(), unknown, true),
              StatusIs(kInvalidArgument, HasSubstr("no such output")));
}

TEST(InferResponseCodecTest, RefusesOutputsWithoutAJsonForm) {
  InferResponse half;
  half.outputs = {TensorOf<uint16_t>("h", DataType::kFp16, {0x3C00})};
  EXPECT_THAT(WriteInferResponse(half, {}, true), IsOk());
  EXPECT_THAT(WriteInferResponse(half, {}, false),
              StatusIs(kInvalidArgument, HasSubstr("FP16")));
  InferResponse bytes;
  bytes.outputs = {{{"s", DataType::kBytes, {1}},
                    Buffer::FromString(std::string("\x01\0\0\0\xFF", 5))}};
  EXPECT_THAT(WriteInferResponse(bytes, {}, true), IsOk());
  EXPECT_THAT(WriteInferResponse(bytes, {}, false),
              StatusIs(kInvalidArgument, HasSubstr("UTF-8")));
}

TEST(InferResponseCodecTest, SaysNullForNumbersThatAreNotFinite) {
  InferResponse response;
  response.outputs = {TensorOf<float>(
      "a", DataType::kFp32,
      {1, std::nanf(""), std::numeric_limits<float>::infinity()})};
  PARM_ASSERT_OK_AND_ASSIGN(const EncodedBody body,
                            WriteInferResponse(response, {}, false));
  EXPECT_THAT(body.json, HasSubstr("[1,null,null]"));
  PARM_ASSERT_OK_AND_ASSIGN(const InferResponse got,
                            InferResponseParser().Parse(Flatten(body)));
  float values[3];
  std::memcpy(values, got.outputs[0].data.bytes().data(), sizeof(values));
  EXPECT_EQ(values[0], 1);
  EXPECT_TRUE(std::isnan(values[1]));
  EXPECT_TRUE(std::isnan(values[2]));
}

TEST(InferResponseCodecTest, ReadsWhatOtherServersSend) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const InferResponse got,
      InferResponseParser().Parse(BodyOf(
          R"({"model_name":"m","model_version":null,"id":"1",
              "parameters":{"headers":{"a":"b"},"content_type":null,"n":1},
              "outputs":[{"name":"a","shape":[1],"datatype":"INT64",
              "parameters":null,"data":[5]}],"extra":[{}]})")));
  EXPECT_EQ(got.model_version, "");
  EXPECT_THAT(got.parameters,
              ElementsAre(Pair("n", ParameterValue(int64_t{1}))));
}

TEST(InferResponseCodecTest, RefusesMalformedReplies) {
  const char* cases[] = {
      "",
      "[]",
      "{}",
      R"({"outputs":{}})",
      R"({"outputs":[1]})",
      R"({"outputs":[],"outputs":[]})",
      R"({"outputs":[],"model_name":1})",
      R"({"outputs":[{"name":"a","datatype":"INT8","shape":[2],"data":[1]}]})",
      R"({"outputs":[{"name":"a","datatype":"INT8","shape":[1],"data":[null]}]})",
      R"({"outputs":[{"name":"a","datatype":"INT8","shape":[1],
          "parameters":{"binary_data_size":1}}]})"};
  for (const char* json : cases) {
    EXPECT_THAT(InferResponseParser().Parse(BodyOf(json)), StatusIs(kDataLoss))
        << json;
  }
  Body body = BodyOf(R"({"outputs":[]} )");
  body.json_bytes = body.size - 1;
  EXPECT_THAT(InferResponseParser().Parse(body),
              StatusIs(kDataLoss, HasSubstr("bytes more")));
  body.json_bytes = body.size + 1;
  EXPECT_THAT(InferResponseParser().Parse(body), StatusIs(kDataLoss));
}

}  // namespace
}  // namespace parm::oip
