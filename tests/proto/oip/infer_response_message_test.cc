#include "proto/oip/infer_response_message.h"

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proto/oip/grpc_service.pb.h"
#include "proto/oip/metadata_message.h"
#include "proto/oip/typed_contents.h"
#include "tests/proto/oip/random_tensor.h"
#include "tests/support/matchers.h"

namespace parm::oip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kSeed = 22;

std::string Join(const MessagePieces& pieces) {
  std::string bytes;
  for (const Buffer& piece : pieces) {
    bytes.append(reinterpret_cast<const char*>(piece.bytes().data()),
                 piece.size());
  }
  EXPECT_EQ(bytes.size(), TotalBytes(pieces));
  return bytes;
}

inference::ModelInferResponse Parse(const MessagePieces& pieces) {
  inference::ModelInferResponse message;
  EXPECT_TRUE(message.ParseFromString(Join(pieces)));
  return message;
}

std::string BytesOf(const Buffer& data) {
  return {reinterpret_cast<const char*>(data.bytes().data()), data.size()};
}

/// Of output `i`, whichever form it has.
std::string OutputBytes(const inference::ModelInferResponse& message, int i,
                        const TensorSpec& spec) {
  if (message.raw_output_contents_size() > 0) {
    EXPECT_FALSE(message.outputs(i).has_contents());
    return message.raw_output_contents(i);
  }
  const auto data = ReadTypedContents(message.outputs(i).contents(),
                                      spec.datatype, *NumElements(spec.shape));
  EXPECT_THAT(data, IsOk());
  return data.ok() ? BytesOf(*data) : "";
}

InferResponse RandomResponse(std::mt19937_64& random, bool with_fp16) {
  InferResponse response{.model_name = "m", .model_version = "2", .id = "i"};
  for (const DataType datatype : kJsonDataTypes) {
    response.outputs.push_back(RandomTensor(
        absl::StrCat("out", response.outputs.size()), datatype, random));
  }
  if (with_fp16) {
    response.outputs.push_back(RandomTensor("half", DataType::kFp16, random));
  }
  return response;
}

TEST(InferResponseMessageTest, WritesEveryDatatypeInBothForms) {
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 50; ++round) {
    for (const bool raw : {false, true}) {
      SCOPED_TRACE(
          absl::StrCat("seed=", kSeed, " round=", round, " raw=", raw));
      const InferResponse response = RandomResponse(random, /*with_fp16=*/raw);
      PARM_ASSERT_OK_AND_ASSIGN(const MessagePieces pieces,
                                WriteInferMessage(response, {}, raw));
      const inference::ModelInferResponse message = Parse(pieces);
      EXPECT_EQ(message.model_name(), "m");
      EXPECT_EQ(message.model_version(), "2");
      EXPECT_EQ(message.id(), "i");
      EXPECT_EQ(message.raw_output_contents_size() > 0, raw);
      ASSERT_EQ(static_cast<size_t>(message.outputs_size()),
                response.outputs.size());
      for (int i = 0; i < message.outputs_size(); ++i) {
        const Tensor& want = response.outputs[static_cast<size_t>(i)];
        EXPECT_EQ(message.outputs(i).name(), want.spec.name);
        EXPECT_EQ(message.outputs(i).datatype(),
                  std::string(DataTypeName(want.spec.datatype)));
        EXPECT_EQ(OutputBytes(message, i, want.spec), BytesOf(want.data));
      }
    }
  }
}

TEST(InferResponseMessageTest, SendsRawWhatHasNoTypedForm) {
  std::mt19937_64 random(kSeed);
  const InferResponse response = RandomResponse(random, /*with_fp16=*/true);
  PARM_ASSERT_OK_AND_ASSIGN(const MessagePieces pieces,
                            WriteInferMessage(response, {}, /*raw=*/false));
  EXPECT_EQ(Parse(pieces).raw_output_contents_size(),
            static_cast<int>(response.outputs.size()));
}

TEST(InferResponseMessageTest, SharesLargeTensors) {
  std::byte* data;
  const Buffer large = Buffer::Allocate(size_t{1} << 20, &data);
  std::memset(data, 7, large.size());
  const InferResponse response{
      .model_name = "m",
      .outputs = {{{"y", DataType::kUint8, {1 << 20}}, large}}};
  for (const bool in_stream : {false, true}) {
    PARM_ASSERT_OK_AND_ASSIGN(const MessagePieces pieces,
                              in_stream
                                  ? WriteStreamMessage(response, {}, true)
                                  : WriteInferMessage(response, {}, true));
    ASSERT_EQ(pieces.size(), 2U);
    EXPECT_EQ(pieces[1].bytes().data(), large.bytes().data());
    inference::ModelStreamInferResponse message;
    if (in_stream) {
      ASSERT_TRUE(message.ParseFromString(Join(pieces)));
    } else {
      *message.mutable_infer_response() = Parse(pieces);
    }
    EXPECT_EQ(message.infer_response().raw_output_contents(0), BytesOf(large));
  }
}

TEST(InferResponseMessageTest, WritesTheRequestedOutputsInOrder) {
  std::mt19937_64 random(kSeed);
  const InferResponse response = RandomResponse(random, /*with_fp16=*/false);
  PARM_ASSERT_OK_AND_ASSIGN(
      const MessagePieces pieces,
      WriteInferMessage(response, {{.name = "out3"}, {.name = "out1"}}, true));
  const inference::ModelInferResponse message = Parse(pieces);
  ASSERT_EQ(message.outputs_size(), 2);
  EXPECT_EQ(message.outputs(0).name(), "out3");
  EXPECT_EQ(message.outputs(1).name(), "out1");
  EXPECT_EQ(message.raw_output_contents(1), BytesOf(response.outputs[1].data));
  EXPECT_THAT(WriteInferMessage(response, {{.name = "none"}}, true),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("none")));
}

TEST(InferResponseMessageTest, LabelsTheAnswer) {
  const InferResponse response{.model_name = "m",
                               .parameters = {{"theirs", int64_t{5}},
                                              {"flag", true},
                                              {"big", uint64_t{6}},
                                              {"real", 0.5},
                                              {"text", std::string("t")}}};
  PARM_ASSERT_OK_AND_ASSIGN(
      const MessagePieces pieces,
      WriteInferMessage(response, {}, true,
                        {.source = "reconstructed", .confidence = 0.75F}));
  const auto message = Parse(pieces);
  const auto& parameters = message.parameters();
  EXPECT_EQ(parameters.at("parm_source").string_param(), "reconstructed");
  EXPECT_EQ(parameters.at("parm_confidence").double_param(), 0.75);
  EXPECT_EQ(parameters.at("theirs").int64_param(), 5);
  EXPECT_TRUE(parameters.at("flag").bool_param());
  EXPECT_EQ(parameters.at("big").uint64_param(), 6U);
  EXPECT_EQ(parameters.at("real").double_param(), 0.5);
  EXPECT_EQ(parameters.at("text").string_param(), "t");
}

TEST(InferResponseMessageTest, WrapsRepliesAndErrorsForStreams) {
  std::mt19937_64 random(kSeed);
  const InferResponse response = RandomResponse(random, /*with_fp16=*/false);
  for (const bool raw : {false, true}) {
    PARM_ASSERT_OK_AND_ASSIGN(const MessagePieces pieces,
                              WriteStreamMessage(response, {}, raw));
    inference::ModelStreamInferResponse message;
    ASSERT_TRUE(message.ParseFromString(Join(pieces)));
    EXPECT_EQ(message.error_message(), "");
    const auto& reply = message.infer_response();
    EXPECT_TRUE(reply.parameters().at("triton_final_response").bool_param());
    EXPECT_EQ(OutputBytes(reply, 0, response.outputs[0].spec),
              BytesOf(response.outputs[0].data));
  }
  inference::ModelStreamInferResponse message;
  ASSERT_TRUE(message.ParseFromString(Join(WriteStreamError("bad \xff", "7"))));
  EXPECT_EQ(message.error_message(), "bad ?");
  EXPECT_EQ(message.infer_response().id(), "7");
}

TEST(MetadataMessageTest, SaysWhatAModelLooksLike) {
  ModelMetadata model{.name = "m",
                      .versions = {"1", "2"},
                      .platform = "p",
                      .inputs = {{"x", DataType::kBytes, {-1, 3}}},
                      .outputs = {{"y", DataType::kBf16, {-1, 4}},
                                  {"z", DataType::kInt64, {-1}}},
                      .max_batch_size = 8};
  inference::ModelMetadataResponse metadata;
  WriteModelMetadata(model, &metadata);
  EXPECT_EQ(metadata.name(), "m");
  EXPECT_THAT(metadata.versions(), ElementsAre("1", "2"));
  EXPECT_EQ(metadata.platform(), "p");
  EXPECT_EQ(metadata.inputs(0).datatype(), "BYTES");
  EXPECT_THAT(metadata.inputs(0).shape(), ElementsAre(-1, 3));
  EXPECT_EQ(metadata.outputs(1).name(), "z");
  inference::ModelConfig config;
  WriteModelConfig(model, &config);
  EXPECT_EQ(config.max_batch_size(), 8);
  EXPECT_EQ(config.input(0).data_type(), inference::TYPE_STRING);
  EXPECT_THAT(config.input(0).dims(), ElementsAre(3));
  EXPECT_EQ(config.output(0).data_type(), inference::TYPE_BF16);
  EXPECT_THAT(config.output(1).dims(), ElementsAre());
  EXPECT_TRUE(config.has_model_transaction_policy());
  model.max_batch_size = 0;
  config.Clear();
  WriteModelConfig(model, &config);
  EXPECT_THAT(config.input(0).dims(), ElementsAre(-1, 3));
}

}  // namespace
}  // namespace parm::oip
