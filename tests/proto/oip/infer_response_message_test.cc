#include "proto/oip/infer_response_message.h"

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <utility>
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

absl::StatusOr<InferResponse> ReadBytes(const std::string& bytes,
                                        int block_size = -1) {
  google::protobuf::io::ArrayInputStream in(
      bytes.data(), static_cast<int>(bytes.size()), block_size);
  return ReadInferReply(&in, bytes.size());
}

TEST(InferReplyTest, ReadsWhatIsWrittenInBothForms) {
  std::mt19937_64 random(kSeed);
  for (const bool raw : {true, false}) {
    for (const int block_size : {-1, 1, 7}) {
      SCOPED_TRACE(absl::StrCat("raw=", raw, " block_size=", block_size));
      const InferResponse want = RandomResponse(random, raw);
      PARM_ASSERT_OK_AND_ASSIGN(const MessagePieces pieces,
                                WriteInferMessage(want, {}, raw));
      PARM_ASSERT_OK_AND_ASSIGN(const InferResponse got,
                                ReadBytes(Join(pieces), block_size));
      EXPECT_EQ(got.model_name, "m");
      EXPECT_EQ(got.model_version, "2");
      EXPECT_EQ(got.id, "i");
      ASSERT_EQ(got.outputs.size(), want.outputs.size());
      for (size_t i = 0; i < got.outputs.size(); ++i) {
        EXPECT_EQ(got.outputs[i].spec.name, want.outputs[i].spec.name);
        EXPECT_EQ(got.outputs[i].spec.datatype, want.outputs[i].spec.datatype);
        EXPECT_EQ(got.outputs[i].spec.shape, want.outputs[i].spec.shape);
        EXPECT_TRUE(BytesOf(got.outputs[i].data) ==
                    BytesOf(want.outputs[i].data));
      }
    }
  }
}

TEST(InferReplyTest, RefusesWhatIsNoReply) {
  inference::ModelInferResponse good;
  auto* const output = good.add_outputs();
  output->set_name("y");
  output->set_datatype("FP32");
  output->add_shape(2);
  good.add_raw_output_contents("12345678");
  ASSERT_THAT(ReadBytes(good.SerializeAsString()), IsOk());
  // As MLServer has it.
  output->mutable_contents();
  ASSERT_THAT(ReadBytes(good.SerializeAsString()), IsOk());
  using Message = inference::ModelInferResponse;
  const std::pair<std::function<void(Message&)>, const char*> mistakes[] = {
      {[](Message& m) { m.mutable_raw_output_contents(0)->pop_back(); },
       "got 7 bytes, want 8"},
      {[](Message& m) { m.add_raw_output_contents("x"); }, "number of raw"},
      {[](Message& m) { m.clear_raw_output_contents(); }, "number of values"},
      {[](Message& m) { m.mutable_outputs(0)->set_datatype("FP33"); }, "FP33"},
      {[](Message& m) { m.mutable_outputs(0)->set_shape(0, -1); }, "shape"},
      {[](Message& m) {
         m.mutable_outputs(0)->mutable_contents()->add_fp32_contents(1);
       },
       "beside raw ones"},
      {[](Message& m) { m.set_model_version(std::string(2000, 'v')); },
       "too long"},
      {[](Message& m) {
         for (int i = 0; i < 65; ++i) *m.add_outputs() = m.outputs(0);
       },
       "too many tensors"}};
  for (const auto& [spoil, text] : mistakes) {
    SCOPED_TRACE(text);
    Message message = good;
    spoil(message);
    EXPECT_THAT(ReadBytes(message.SerializeAsString()),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(text)));
  }
  for (const std::string& bytes :
       {std::string("\xff\xff"), good.SerializeAsString().substr(0, 9)}) {
    EXPECT_THAT(ReadBytes(bytes), StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST(ModelMetadataMessageTest, ReadsWhatItWrites) {
  const ModelMetadata want{.name = "m",
                           .versions = {"1", "2"},
                           .platform = "p",
                           .inputs = {{"x", DataType::kUint8, {-1, 3}}},
                           .outputs = {{"y", DataType::kFp32, {-1, 2}},
                                       {"z", DataType::kBytes, {}}}};
  inference::ModelMetadataResponse message;
  WriteModelMetadata(want, &message);
  PARM_ASSERT_OK_AND_ASSIGN(const ModelMetadata got,
                            ReadModelMetadata(message));
  EXPECT_EQ(got.name, "m");
  EXPECT_EQ(got.versions, want.versions);
  ASSERT_EQ(got.inputs.size(), 1U);
  EXPECT_EQ(got.inputs[0].shape, want.inputs[0].shape);
  ASSERT_EQ(got.outputs.size(), 2U);
  EXPECT_EQ(got.outputs[1].datatype, DataType::kBytes);
  message.mutable_inputs(0)->set_datatype("TYPE_UINT8");
  EXPECT_THAT(ReadModelMetadata(message),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("TYPE_UINT8")));
}

}  // namespace
}  // namespace parm::oip
