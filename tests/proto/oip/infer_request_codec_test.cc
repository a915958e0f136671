#include "proto/oip/infer_request_codec.h"

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

constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

absl::StatusOr<InferRequest> ParseJson(std::string json) {
  return InferRequestParser().Parse(BodyOf(std::move(json)));
}

/// JSON, then `binary`, with the length header that fits.
absl::StatusOr<InferRequest> ParseBinary(const std::string& json,
                                         const std::string& binary) {
  Body body = BodyOf(json + binary);
  body.json_bytes = json.size();
  return InferRequestParser().Parse(body);
}

/// A request with one input whose object ends with `rest`.
std::string OneInput(const std::string& rest) {
  return R"({"inputs":[{"name":"x",)" + rest + "}]}";
}

std::string BytesOf(const Tensor& tensor) {
  return std::string(reinterpret_cast<const char*>(tensor.data.bytes().data()),
                     tensor.data.size());
}

void ExpectSameTensors(const std::vector<Tensor>& got,
                       const std::vector<Tensor>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i].spec, want[i].spec);
    EXPECT_EQ(BytesOf(got[i]), BytesOf(want[i]));
  }
}

InferRequest RandomRequest(bool binary, std::mt19937_64& random) {
  InferRequest request;
  if (random() % 2 == 0) request.id = absl::StrCat("id-", random());
  request.binary_outputs = random() % 2 == 0;
  int index = 0;
  for (const DataType datatype : kJsonDataTypes) {
    request.inputs.push_back(
        RandomTensor(absl::StrCat("in\"", index++), datatype, random));
  }
  if (binary) {
    for (const DataType datatype : kBinaryOnlyDataTypes) {
      request.inputs.push_back(
          RandomTensor(absl::StrCat("in", index++), datatype, random));
    }
  }
  request.parameters = {{"flag", true},
                        {"count", int64_t{-3}},
                        {"big", uint64_t{1} << 63},
                        {"ratio", 0.25},
                        {"text", RandomText(random)}};
  for (int i = 0; i < 3; ++i) {
    request.outputs.push_back({.name = absl::StrCat("out", i),
                               .binary = random() % 2 == 0,
                               .parameters = {}});
  }
  return request;
}

TEST(InferRequestCodecTest, RoundTripsEveryDatatypeBothWays) {
  InferRequestParser parser;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    for (const bool binary : {false, true}) {
      SCOPED_TRACE(absl::StrCat("seed=", seed, " binary=", binary));
      std::mt19937_64 random(seed);
      const InferRequest want = RandomRequest(binary, random);
      PARM_ASSERT_OK_AND_ASSIGN(const EncodedBody encoded,
                                WriteInferRequest(want, binary));
      PARM_ASSERT_OK_AND_ASSIGN(const InferRequest got,
                                parser.Parse(Flatten(encoded)));
      EXPECT_EQ(got.id, want.id);
      EXPECT_EQ(got.binary_outputs, want.binary_outputs);
      EXPECT_EQ(got.parameters, want.parameters);
      ExpectSameTensors(got.inputs, want.inputs);
      ASSERT_EQ(got.outputs.size(), want.outputs.size());
      for (size_t i = 0; i < want.outputs.size(); ++i) {
        EXPECT_EQ(got.outputs[i].name, want.outputs[i].name);
        EXPECT_EQ(got.outputs[i].binary, want.outputs[i].binary);
      }
    }
  }
}

TEST(InferRequestCodecTest, BinaryInputsAreSlicesOfTheBody) {
  const std::string json = OneInput(
      R"("datatype":"UINT8","shape":[4],"parameters":{"binary_data_size":4})");
  Body body = BodyOf(json + "abcd");
  body.json_bytes = json.size();
  PARM_ASSERT_OK_AND_ASSIGN(const InferRequest request,
                            InferRequestParser().Parse(body));
  EXPECT_EQ(request.inputs[0].data.bytes().data(),
            body.storage.bytes().data() + json.size());
}

TEST(InferRequestCodecTest, ParsesStorageWithoutAnyPadding) {
  const std::string json =
      OneInput(R"("datatype":"INT8","shape":[2],"data":[1,2])");
  const Body body{
      .storage = Buffer::CopyOf(absl::MakeConstSpan(
          reinterpret_cast<const std::byte*>(json.data()), json.size())),
      .size = json.size()};
  PARM_ASSERT_OK_AND_ASSIGN(const InferRequest request,
                            InferRequestParser().Parse(body));
  EXPECT_EQ(BytesOf(request.inputs[0]), "\x01\x02");
}

TEST(InferRequestCodecTest, TakesNestedAndFlatDataAlike) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const InferRequest nested,
      ParseJson(OneInput(
          R"("datatype":"INT16","shape":[2,2],"data":[[1,2],[3,4]])")));
  PARM_ASSERT_OK_AND_ASSIGN(
      const InferRequest flat,
      ParseJson(
          OneInput(R"("datatype":"INT16","shape":[2,2],"data":[1,2,3,4])")));
  EXPECT_EQ(BytesOf(nested.inputs[0]), BytesOf(flat.inputs[0]));
}

TEST(InferRequestCodecTest, ResolvesWhichOutputsAreBinary) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const InferRequest request,
      ParseJson(R"({"parameters":{"binary_data_output":true,"parm_mode":"fast"},
        "inputs":[],"outputs":[{"name":"a"},
        {"name":"b","parameters":{"binary_data":false,"kept":1}}]})"));
  EXPECT_TRUE(request.binary_outputs);
  EXPECT_TRUE(request.outputs[0].binary);
  EXPECT_FALSE(request.outputs[1].binary);
  EXPECT_THAT(request.parameters,
              ElementsAre(Pair("parm_mode", ParameterValue("fast"))));
  EXPECT_THAT(request.outputs[1].parameters,
              ElementsAre(Pair("kept", ParameterValue(int64_t{1}))));
}

struct BadRequest {
  const char* name;
  std::string json;
  const char* sentence;
};

TEST(InferRequestCodecTest, RefusesWhatIsNotARequest) {
  const BadRequest cases[] = {
      {"empty", "", "no JSON"},
      {"not json", "{", "not valid JSON"},
      {"array", "[1]", "must be a JSON object"},
      {"trailing", "{} x", "not valid JSON"},
      {"bad utf8", "{\"id\":\"\xFF\",\"inputs\":[]}", "not valid JSON"},
      {"no inputs", "{}", "inputs are missing"},
      {"inputs twice", R"({"inputs":[],"inputs":[]})", "given twice"},
      {"inputs object", R"({"inputs":{}})", "array of objects"},
      {"input number", R"({"inputs":[1]})", "must be an object"},
      {"id number", R"({"id":7,"inputs":[]})", "string is expected"},
      {"no name", R"({"inputs":[{"datatype":"INT8"}]})", "name of a tensor"},
      {"name number", R"({"inputs":[{"name":1}]})", "string is expected"},
      {"no shape", OneInput(R"("datatype":"INT8","data":[1])"),
       "shape is missing"},
      {"shape text", OneInput(R"("datatype":"INT8","shape":"1","data":[1])"),
       "shape must be an array"},
      {"shape real", OneInput(R"("datatype":"INT8","shape":[1.5],"data":[1])"),
       "shape must hold integers"},
      {"shape negative",
       OneInput(R"("datatype":"INT8","shape":[-1],"data":[1])"),
       "not negative"},
      {"shape overflow",
       OneInput(
           R"("datatype":"INT8","shape":[4611686018427387904,4],"data":[1])"),
       "too large"},
      {"key twice",
       OneInput(R"("datatype":"INT8","datatype":"INT8","shape":[1])"),
       "given twice"},
      {"no data", OneInput(R"("datatype":"INT8","shape":[1])"),
       "data is missing"},
      {"unknown datatype",
       OneInput(R"("datatype":"INT7","shape":[1],"data":[1])"),
       "unknown datatype"},
      {"fp16 json", OneInput(R"("datatype":"FP16","shape":[1],"data":[1])"),
       "JSON cannot carry"},
      {"bf16 json", OneInput(R"("datatype":"BF16","shape":[1],"data":[1])"),
       "JSON cannot carry"},
      {"data object", OneInput(R"("datatype":"INT8","shape":[1],"data":{})"),
       "data must be an array"},
      {"too few", OneInput(R"("datatype":"INT8","shape":[2],"data":[1])"),
       "differs from the shape"},
      {"too many", OneInput(R"("datatype":"INT8","shape":[1],"data":[1,2])"),
       "differs from the shape"},
      {"far too few",
       OneInput(R"("datatype":"INT8","shape":[9999999],"data":[1])"),
       "differs from the shape"},
      {"too few strings",
       OneInput(R"("datatype":"BYTES","shape":[2],"data":["a"])"),
       "differs from the shape"},
      {"tensor twice",
       R"({"inputs":[{"name":"x","datatype":"INT8","shape":[0],"data":[]},
           {"name":"x","datatype":"INT8","shape":[0],"data":[]}]})",
       "given twice"},
      {"binary without header", OneInput(R"("datatype":"INT8","shape":[1],
                   "parameters":{"binary_data_size":1})"),
       "more than the body holds"},
      {"data and binary", OneInput(R"("datatype":"INT8","shape":[0],"data":[],
                   "parameters":{"binary_data_size":0})"),
       "must not both"},
      {"parameters list", R"({"inputs":[],"parameters":[]})",
       "must be an object"},
      {"parameter null", R"({"inputs":[],"parameters":{"a":null}})",
       "must be a string, a number or a boolean"},
      {"parameter twice", R"({"inputs":[],"parameters":{"a":1,"a":2}})",
       "given twice"},
      {"output text", R"({"inputs":[],"outputs":["a"]})", "must be an object"},
      {"outputs object", R"({"inputs":[],"outputs":{}})", "array of objects"},
      {"output nameless", R"({"inputs":[],"outputs":[{}]})", "is missing"},
      {"output twice", R"({"inputs":[],"outputs":[{"name":"a"},{"name":"a"}]})",
       "requested twice"},
      {"binary_data text",
       R"({"inputs":[],"outputs":[{"name":"a",
           "parameters":{"binary_data":"yes"}}]})",
       "must be a boolean"},
  };
  for (const BadRequest& bad : cases) {
    SCOPED_TRACE(bad.name);
    EXPECT_THAT(ParseJson(bad.json),
                StatusIs(kInvalidArgument, HasSubstr(bad.sentence)));
  }
}

TEST(InferRequestCodecTest, RefusesValuesOutsideTheirDatatype) {
  const std::pair<const char*, const char*> cases[] = {
      {"BOOL", "1"},     {"UINT8", "256"},
      {"UINT8", "-1"},   {"UINT16", "65536"},
      {"UINT32", "-1"},  {"UINT32", "4294967296"},
      {"UINT64", "-1"},  {"UINT64", "18446744073709551616"},
      {"INT8", "128"},   {"INT8", "-129"},
      {"INT8", "1.0"},   {"INT16", "40000"},
      {"INT32", "1e3"},  {"INT32", "2147483648"},
      {"INT64", "true"}, {"INT64", "9223372036854775808"},
      {"FP32", "1e39"},  {"FP32", "\"1\""},
      {"FP32", "null"},  {"FP32", "NaN"},
      {"FP64", "1e999"}, {"FP64", "true"},
      {"BYTES", "1"},    {"BYTES", "{}"},
  };
  for (const auto& [datatype, value] : cases) {
    SCOPED_TRACE(absl::StrCat(datatype, " ", value));
    EXPECT_THAT(ParseJson(OneInput(absl::StrCat(R"("datatype":")", datatype,
                                                R"(","shape":[1],"data":[)",
                                                value, "]"))),
                StatusIs(kInvalidArgument));
  }
}

TEST(InferRequestCodecTest, RefusesBinarySizesThatDoNotAddUp) {
  const auto with_size = [](const std::string& size) {
    return OneInput(R"("datatype":"FP32","shape":[2],"parameters":
                       {"binary_data_size":)" +
                    size + "}");
  };
  EXPECT_THAT(ParseBinary(with_size("8"), "12345678"), IsOk());
  EXPECT_THAT(ParseBinary(with_size("8"), "1234567"),
              StatusIs(kInvalidArgument, HasSubstr("more than the body")));
  EXPECT_THAT(ParseBinary(with_size("8"), "123456789"),
              StatusIs(kInvalidArgument, HasSubstr("1 bytes more")));
  EXPECT_THAT(ParseBinary(with_size("4"), "1234"),
              StatusIs(kInvalidArgument, HasSubstr("got 4, want 8")));
  EXPECT_THAT(ParseBinary(with_size("-8"), "12345678"),
              StatusIs(kInvalidArgument, HasSubstr("not negative")));
  EXPECT_THAT(ParseBinary(with_size("8.0"), "12345678"),
              StatusIs(kInvalidArgument, HasSubstr("integer")));
  EXPECT_THAT(ParseBinary(with_size("18446744073709551615"), "12345678"),
              StatusIs(kInvalidArgument));
}

TEST(InferRequestCodecTest, RefusesBytesTensorsThatAreCutOff) {
  const auto with_bytes = [](const std::string& bytes) {
    return ParseBinary(
        OneInput(absl::StrCat(R"("datatype":"BYTES","shape":[1],"parameters":
                                 {"binary_data_size":)",
                              bytes.size(), "}")),
        bytes);
  };
  using std::string_literals::operator""s;
  EXPECT_THAT(with_bytes("\x01\0\0\0a"s), IsOk());
  EXPECT_THAT(with_bytes("\x02\0\0\0a"s), StatusIs(kInvalidArgument));
  EXPECT_THAT(with_bytes("\x01\0"s), StatusIs(kInvalidArgument));
  EXPECT_THAT(with_bytes("\0\0\0\0\0\0\0\0"s),
              StatusIs(kInvalidArgument, HasSubstr("got 2, want 1")));
}

TEST(InferRequestCodecTest, RefusesLengthHeaderBeyondTheBody) {
  Body body = BodyOf(R"({"inputs":[]})");
  body.json_bytes = body.size + 1;
  EXPECT_THAT(
      InferRequestParser().Parse(body),
      StatusIs(kInvalidArgument, HasSubstr("Inference-Header-Content-Length")));
}

TEST(InferRequestCodecTest, ChecksTypesOfReservedParameters) {
  const auto with = [](const char* parameter) {
    return ParseJson(
        absl::StrCat(R"({"inputs":[],"parameters":{)", parameter, "}}"));
  };
  for (const char* good :
       {R"("sequence_id":7)", R"("sequence_id":"a")", R"("priority":0)",
        R"("timeout":18446744073709551615)", R"("sequence_start":true)"}) {
    SCOPED_TRACE(good);
    EXPECT_THAT(with(good), IsOk());
  }
  for (const char* bad :
       {R"("sequence_id":-7)", R"("sequence_id":true)", R"("sequence_end":1)",
        R"("priority":-1)", R"("timeout":"1")", R"("triton_x":1)",
        R"("binary_data_output":1)"}) {
    SCOPED_TRACE(bad);
    EXPECT_THAT(with(bad), StatusIs(kInvalidArgument));
  }
}

TEST(InferRequestCodecTest, SaysWhatIsNotSupported) {
  EXPECT_THAT(ParseJson(
                  R"({"inputs":[],"outputs":[{"name":"a",
              "parameters":{"classification":3}}]})"),
              StatusIs(kUnimplemented, HasSubstr("classification")));
  EXPECT_THAT(ParseJson(OneInput(R"("datatype":"INT8","shape":[1],"parameters":
                   {"shared_memory_region":"r"})")),
              StatusIs(kUnimplemented, HasSubstr("shared memory")));
  EXPECT_THAT(ParseJson(
                  R"({"inputs":[],"outputs":[{"name":"a",
              "parameters":{"shared_memory_region":"r"}}]})"),
              StatusIs(kUnimplemented, HasSubstr("shared memory")));
}

TEST(InferRequestCodecTest, BoundsDepthCountsAndSizes) {
  const auto nested = [](size_t depth) {
    // The root object, the inputs and the tensor take three levels.
    return ParseJson(OneInput(
        absl::StrCat(R"("datatype":"INT8","shape":[1],"data":)",
                     std::string(depth, '['), "1", std::string(depth, ']'))));
  };
  EXPECT_THAT(nested(kMaxJsonDepth - 4), IsOk());
  EXPECT_THAT(nested(kMaxJsonDepth + 1),
              StatusIs(kInvalidArgument, HasSubstr("too deeply")));

  const CodecLimits tight{.max_json_bytes = 200,
                          .max_json_tensor_bytes = 16,
                          .max_tensors = 1,
                          .max_rank = 2,
                          .max_parameters = 1,
                          .max_name_bytes = 8};
  const auto refuse = [&](const std::string& json, const char* sentence) {
    SCOPED_TRACE(json);
    EXPECT_THAT(InferRequestParser(tight).Parse(BodyOf(json)),
                StatusIs(kInvalidArgument, HasSubstr(sentence)));
  };
  refuse(std::string(201, ' '), "JSON is too large");
  refuse(OneInput(R"("datatype":"FP64","shape":[3],"data":[1,2,3])"),
         "tensor is too large");
  refuse(OneInput(R"("datatype":"BYTES","shape":[1],"data":["0123456789abc"])"),
         "tensor is too large");
  refuse(R"({"inputs":[{},{}]})", "too many tensors");
  refuse(R"({"inputs":[],"outputs":[{},{}]})", "too many requested outputs");
  refuse(OneInput(R"("datatype":"INT8","shape":[1,1,1],"data":[1])"),
         "too many dimensions");
  refuse(R"({"inputs":[],"parameters":{"a":1,"b":1}})", "too many parameters");
  refuse(R"({"inputs":[],"id":"123456789"})", "too long");
  refuse(R"({"inputs":[],"parameters":{"123456789":1}})", "too long");
}

TEST(InferRequestCodecTest, ParsesAgainAfterLargeAndBrokenDocuments) {
  InferRequestParser parser;
  const std::string large =
      R"({"x":")" + std::string(3 << 20, 'a') + R"(","inputs":[]})";
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(parser.Parse(BodyOf(large)), IsOk());
    EXPECT_THAT(parser.Parse(BodyOf("{")), StatusIs(kInvalidArgument));
    EXPECT_THAT(parser.Parse(BodyOf(R"({"inputs":[]})")), IsOk());
  }
}

ModelMetadata ModelWithInput(DataType datatype, std::vector<int64_t> shape) {
  ModelMetadata model;
  model.inputs.push_back(
      {.name = "x", .datatype = datatype, .shape = std::move(shape)});
  return model;
}

TEST(RawInferRequestTest, FillsTheOneVariableDimension) {
  const Body body = BodyOf(std::string(24, 'x'));
  PARM_ASSERT_OK_AND_ASSIGN(
      const InferRequest batch,
      RawInferRequest(ModelWithInput(DataType::kFp32, {-1, 3}), body));
  EXPECT_THAT(batch.inputs[0].spec.shape, ElementsAre(2, 3));
  EXPECT_TRUE(batch.binary_outputs);
  EXPECT_EQ(BytesOf(batch.inputs[0]), std::string(24, 'x'));
  PARM_ASSERT_OK_AND_ASSIGN(
      const InferRequest inner,
      RawInferRequest(ModelWithInput(DataType::kFp32, {-1, -1, 2}), body));
  EXPECT_THAT(inner.inputs[0].spec.shape, ElementsAre(1, 3, 2));
}

TEST(RawInferRequestTest, TakesTheBodyAsOneString) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const InferRequest request,
      RawInferRequest(ModelWithInput(DataType::kBytes, {-1}), BodyOf("abc")));
  EXPECT_THAT(request.inputs[0].spec.shape, ElementsAre(1));
  EXPECT_EQ(BytesOf(request.inputs[0]), std::string("\x03\0\0\0abc", 7));
}

TEST(RawInferRequestTest, RefusesWhatCannotBeAShape) {
  const Body body = BodyOf(std::string(24, 'x'));
  EXPECT_THAT(RawInferRequest(ModelMetadata{}, body),
              StatusIs(kInvalidArgument, HasSubstr("one input")));
  for (const std::vector<int64_t>& shape : std::vector<std::vector<int64_t>>{
           {5}, {-1, 5}, {-1, -1, -1}, {2, -1, -1}, {0, -1}}) {
    SCOPED_TRACE(ShapeToString(shape));
    EXPECT_THAT(RawInferRequest(ModelWithInput(DataType::kFp32, shape), body),
                StatusIs(kInvalidArgument));
  }
  EXPECT_THAT(
      RawInferRequest(ModelWithInput(DataType::kFp32, {-1, 3}), BodyOf("")),
      StatusIs(kInvalidArgument));
  EXPECT_THAT(
      RawInferRequest(ModelWithInput(DataType::kBytes, {2}), BodyOf("abc")),
      StatusIs(kInvalidArgument));
}

}  // namespace
}  // namespace parm::oip
