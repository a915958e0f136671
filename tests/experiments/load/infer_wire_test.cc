#include "experiments/load/infer_wire.h"

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "gtest/gtest.h"
#include "proto/oip/infer_request_codec.h"
#include "proto/oip/infer_request_message.h"
#include "proto/oip/infer_response_message.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TestData TwoImages() {
  return {.num_samples = 2,
          .height = 1,
          .width = 2,
          .pixels = {1, 2, 250, 255},
          .labels = {0, 1}};
}

oip::ModelMetadata Model(DataType datatype, std::vector<int64_t> shape) {
  return {.name = "m",
          .inputs = {{.name = "x", .datatype = datatype, .shape = shape}}};
}

/// The request of so many samples as a server parses it.
absl::StatusOr<oip::InferRequest> Parsed(const InferWire& wire, size_t sample,
                                         size_t images = 1) {
  const std::string message =
      std::string(wire.head(images)) + std::string(wire.body(sample, images));
  const size_t end = message.find("\r\n\r\n") + 4;
  const std::string key = "Inference-Header-Content-Length: ";
  oip::Body body = oip::BodyOf(message.substr(end));
  if (message.find(key) != std::string::npos) {
    body.json_bytes =
        std::stoul(message.substr(message.find(key) + key.size()));
  }
  const std::string length = "\r\nContent-Length: ";
  EXPECT_EQ(std::stoul(message.substr(message.find(length) + length.size())),
            body.size);
  oip::InferRequestParser parser;
  return parser.Parse(body);
}

ServerReply Reply(const oip::InferResponse& response) {
  const auto encoded = oip::WriteInferResponse(response, {}, true);
  EXPECT_THAT(encoded, IsOk());
  ServerReply reply{.json_bytes = encoded->json.size()};
  reply.body = encoded->json;
  for (const Buffer& tensor : encoded->tensors) {
    reply.body.append(reinterpret_cast<const char*>(tensor.bytes().data()),
                      tensor.size());
  }
  return reply;
}

oip::InferResponse RowResponse(const std::vector<float>& row) {
  const auto bytes =
      absl::MakeConstSpan(reinterpret_cast<const std::byte*>(row.data()),
                          row.size() * sizeof(float));
  oip::InferResponse response{.model_name = "m"};
  response.outputs.push_back(
      {.spec = {.name = "y",
                .datatype = DataType::kFp32,
                .shape = {1, static_cast<int64_t>(row.size())}},
       .data = Buffer::CopyOf(bytes)});
  return response;
}

ServerReply RowReply(const std::vector<float>& row) {
  return Reply(RowResponse(row));
}

InferWire AnyWire() {
  auto wire = InferWire::Create({.model = "m"},
                                Model(DataType::kUint8, {-1, 2}), TwoImages());
  EXPECT_THAT(wire, IsOk());
  return *std::move(wire);
}

TEST(InferWireTest, WritesRawPixelsAsTheModelAsks) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const InferWire floats,
      InferWire::Create({.model = "m"}, Model(DataType::kFp32, {-1, 1, 1, 2}),
                        TwoImages()));
  PARM_ASSERT_OK_AND_ASSIGN(oip::InferRequest request, Parsed(floats, 1));
  ASSERT_EQ(request.inputs.size(), 1U);
  EXPECT_THAT(request.inputs[0].spec.shape, ElementsAre(1, 1, 1, 2));
  float pixels[2];
  ASSERT_EQ(request.inputs[0].data.size(), sizeof(pixels));
  std::memcpy(pixels, request.inputs[0].data.bytes().data(), sizeof(pixels));
  EXPECT_THAT(pixels, ElementsAre(250.0F, 255.0F));
  EXPECT_TRUE(request.binary_outputs);

  PARM_ASSERT_OK_AND_ASSIGN(request, Parsed(AnyWire(), 0));
  EXPECT_EQ(request.inputs[0].spec.datatype, DataType::kUint8);
  EXPECT_THAT(request.inputs[0].data.bytes(),
              ElementsAre(std::byte{1}, std::byte{2}));
}

TEST(InferWireTest, WritesAMessageWhoseLastBytesAreTheTensor) {
  PARM_ASSERT_OK_AND_ASSIGN(
      InferWire wire,
      InferWire::Create(
          {.protocol = LoadProtocol::kGrpc, .model = "m", .mode = "fast"},
          Model(DataType::kUint8, {-1, 2}), TwoImages()));
  const std::string message =
      std::string(wire.head()) + std::string(wire.body(1));
  google::protobuf::io::ArrayInputStream in(message.data(),
                                            static_cast<int>(message.size()));
  PARM_ASSERT_OK_AND_ASSIGN(const oip::InferRequest request,
                            oip::ReadInferMessage(&in, message.size()));
  EXPECT_EQ(request.model_name, "m");
  ASSERT_EQ(request.parameters.size(), 1U);
  ASSERT_EQ(request.inputs.size(), 1U);
  EXPECT_THAT(request.inputs[0].spec.shape, ElementsAre(1, 2));
  EXPECT_THAT(request.inputs[0].data.bytes(),
              ElementsAre(std::byte{250}, std::byte{255}));

  const oip::MessagePieces pieces =
      *oip::WriteInferMessage(RowResponse({-3, 0.5F, 7}), {}, /*raw=*/true);
  ServerReply reply;
  for (const Buffer& piece : pieces) {
    reply.body.append(reinterpret_cast<const char*>(piece.bytes().data()),
                      piece.size());
  }
  EXPECT_THAT(wire.PredictedClasses(reply), IsOkAndHolds(ElementsAre(2)));
  EXPECT_THAT(wire.PredictedClasses({.body = "\xff"}),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST(InferWireTest, SendsDeadlineAndModeWhenAsked) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const InferWire wire,
      InferWire::Create({.model = "m", .deadline_us = 500'000, .mode = "fast"},
                        Model(DataType::kUint8, {-1, 2}), TwoImages()));
  PARM_ASSERT_OK_AND_ASSIGN(const oip::InferRequest request, Parsed(wire, 0));
  ASSERT_EQ(request.parameters.size(), 2U);
  EXPECT_EQ(request.parameters[0].first, "parm_deadline_us");
  EXPECT_EQ(std::get<std::string>(request.parameters[1].second), "fast");
}

TEST(InferWireTest, WritesJsonOfOneLength) {
  PARM_ASSERT_OK_AND_ASSIGN(
      InferWire wire,
      InferWire::Create({.json = true, .model = "m", .mode = "fast"},
                        Model(DataType::kFp32, {-1, 2}), TwoImages()));
  EXPECT_THAT(wire.head(), HasSubstr("\r\nContent-Type: application/json\r\n"));
  for (const size_t sample : {0U, 1U}) {
    PARM_ASSERT_OK_AND_ASSIGN(const oip::InferRequest request,
                              Parsed(wire, sample));
    EXPECT_FALSE(request.binary_outputs);
    EXPECT_EQ(request.parameters.size(), 1U);
    float pixels[2];
    ASSERT_EQ(request.inputs[0].data.size(), sizeof(pixels));
    std::memcpy(pixels, request.inputs[0].data.bytes().data(), sizeof(pixels));
    EXPECT_EQ(pixels[1], sample == 0 ? 2.0F : 255.0F);
  }
  const auto answer = oip::WriteInferResponse(RowResponse({-3, 7}), {}, false);
  EXPECT_THAT(wire.PredictedClasses({.body = answer->json}),
              IsOkAndHolds(ElementsAre(1)));
}

TEST(InferWireTest, WritesBatchesThatGoOnAtTheFirstImage) {
  PARM_ASSERT_OK_AND_ASSIGN(
      InferWire wire,
      InferWire::Create({.model = "m", .batch_sizes = {2, 1}},
                        Model(DataType::kUint8, {-1, 2}), TwoImages()));
  PARM_ASSERT_OK_AND_ASSIGN(oip::InferRequest request, Parsed(wire, 1, 2));
  EXPECT_THAT(request.inputs[0].spec.shape, ElementsAre(2, 2));
  EXPECT_THAT(
      request.inputs[0].data.bytes(),
      ElementsAre(std::byte{250}, std::byte{255}, std::byte{1}, std::byte{2}));
  PARM_ASSERT_OK_AND_ASSIGN(request, Parsed(wire, 1));
  EXPECT_THAT(request.inputs[0].spec.shape, ElementsAre(1, 2));

  oip::InferResponse rows = RowResponse({1, 0, 0, 1});
  EXPECT_THAT(
      wire.PredictedClasses(Reply(rows), 2),
      StatusIs(absl::StatusCode::kDataLoss, HasSubstr("got [1,4], want 2")));
  rows.outputs[0].spec.shape = {2, 2};
  EXPECT_THAT(wire.PredictedClasses(Reply(rows), 2),
              IsOkAndHolds(ElementsAre(0, 1)));
}

TEST(InferWireTest, RefusesBatchesThatCannotBe) {
  const auto model = Model(DataType::kUint8, {-1, 2});
  const auto refused = [&](InferWire::Options options,
                           const oip::ModelMetadata& of, const char* why) {
    options.model = "m";
    EXPECT_THAT(InferWire::Create(options, of, TwoImages()),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)));
  };
  refused({.batch_sizes = {3}}, model, "larger than the data set: got 3 of 2");
  refused({.batch_sizes = {2}}, Model(DataType::kUint8, {1, 2}),
          "one image at a time");
  refused({.json = true, .batch_sizes = {2}}, model, "one image a query");
  refused({.protocol = LoadProtocol::kGrpc, .json = true}, model,
          "JSON goes over HTTP");
}

TEST(InferWireTest, RefusesModelsThatTakeNoSuchImage) {
  for (const auto& model :
       {Model(DataType::kFp32, {-1, 3}), Model(DataType::kFp32, {-1, -1}),
        Model(DataType::kInt64, {-1, 2}), oip::ModelMetadata{}}) {
    EXPECT_THAT(InferWire::Create({.model = "m"}, model, TwoImages()),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(
      InferWire::Create({.model = "m", .input = "z"},
                        Model(DataType::kUint8, {-1, 2}), TwoImages()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no such input")));
}

TEST(InferWireTest, PredictsTheLargestOutput) {
  InferWire wire = AnyWire();
  EXPECT_THAT(wire.PredictedClasses(RowReply({-3, 0.5F, 7, 7})),
              IsOkAndHolds(ElementsAre(2)));
}

TEST(InferWireTest, AnswersWithoutAPredictionAreDataLoss) {
  InferWire wire = AnyWire();
  EXPECT_THAT(wire.PredictedClasses({.body = "{"}),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(wire.PredictedClasses(Reply({.model_name = "m"})),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(wire.PredictedClasses(RowReply({NAN, NAN})),
              StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace parm
