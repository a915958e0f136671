#include "proto/oip/infer_request_message.h"

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proto/oip/grpc_service.pb.h"
#include "proto/oip/header_metadata.h"
#include "proto/oip/typed_contents.h"
#include "tests/proto/oip/random_tensor.h"
#include "tests/support/matchers.h"

namespace parm::oip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using Message = inference::ModelInferRequest;

constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
constexpr uint64_t kSeed = 21;

/// In blocks of so many bytes, as they come off the network.
absl::StatusOr<InferRequest> ReadBytes(const std::string& bytes,
                                       int block_size = -1,
                                       const CodecLimits& limits = {}) {
  google::protobuf::io::ArrayInputStream in(
      bytes.data(), static_cast<int>(bytes.size()), block_size);
  return ReadInferMessage(&in, bytes.size(), limits);
}

absl::StatusOr<InferRequest> Read(const Message& message,
                                  const CodecLimits& limits = {}) {
  return ReadBytes(message.SerializeAsString(), -1, limits);
}

std::string BytesOf(const Buffer& data) {
  return {reinterpret_cast<const char*>(data.bytes().data()), data.size()};
}

void AddInput(const Tensor& tensor, bool raw, Message* message) {
  auto* const input = message->add_inputs();
  input->set_name(tensor.spec.name);
  input->set_datatype(std::string(DataTypeName(tensor.spec.datatype)));
  input->mutable_shape()->Add(tensor.spec.shape.begin(),
                              tensor.spec.shape.end());
  if (raw) {
    message->add_raw_input_contents(BytesOf(tensor.data));
  } else {
    WriteTypedContents(tensor.spec.datatype, tensor.data,
                       input->mutable_contents());
  }
}

/// One FP32 input of two values.
Message GoodMessage(bool raw = true) {
  Message message;
  message.set_model_name("m");
  const float values[] = {1, 2};
  AddInput({{"x", DataType::kFp32, {1, 2}},
            Buffer::CopyOf(absl::MakeConstSpan(
                reinterpret_cast<const std::byte*>(values), sizeof(values)))},
           raw, &message);
  return message;
}

TEST(InferRequestMessageTest, ReadsEveryDatatypeInBothForms) {
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 50; ++round) {
    for (const bool raw : {false, true}) {
      SCOPED_TRACE(
          absl::StrCat("seed=", kSeed, " round=", round, " raw=", raw));
      std::vector<DataType> datatypes(std::begin(kJsonDataTypes),
                                      std::end(kJsonDataTypes));
      if (raw) {
        datatypes.insert(datatypes.end(), std::begin(kBinaryOnlyDataTypes),
                         std::end(kBinaryOnlyDataTypes));
      }
      Message message;
      std::vector<Tensor> want;
      for (const DataType datatype : datatypes) {
        want.push_back(
            RandomTensor(absl::StrCat("in", want.size()), datatype, random));
        AddInput(want.back(), raw, &message);
      }
      const int block_size = 1 + static_cast<int>(random() % 40);
      PARM_ASSERT_OK_AND_ASSIGN(
          const InferRequest request,
          ReadBytes(message.SerializeAsString(), block_size));
      EXPECT_EQ(request.binary_outputs, raw);
      ASSERT_EQ(request.inputs.size(), want.size());
      for (size_t i = 0; i < want.size(); ++i) {
        EXPECT_EQ(request.inputs[i].spec, want[i].spec);
        EXPECT_EQ(BytesOf(request.inputs[i].data), BytesOf(want[i].data));
      }
    }
  }
}

TEST(InferRequestMessageTest, ReadsNamesParametersAndOutputs) {
  Message message = GoodMessage();
  message.set_model_version("3");
  message.set_id("mine");
  auto& parameters = *message.mutable_parameters();
  parameters["flag"].set_bool_param(true);
  parameters["count"].set_int64_param(-3);
  parameters["big"].set_uint64_param(uint64_t{1} << 63);
  parameters["ratio"].set_double_param(0.25);
  parameters["text"].set_string_param("x");
  // A client of streams may ask for it; there is no such reply here.
  parameters["triton_enable_empty_final_response"].set_bool_param(true);
  message.add_outputs()->set_name("y");
  PARM_ASSERT_OK_AND_ASSIGN(const InferRequest request, Read(message));
  EXPECT_EQ(request.model_name, "m");
  EXPECT_EQ(request.model_version, "3");
  EXPECT_EQ(request.id, "mine");
  EXPECT_THAT(
      request.parameters,
      UnorderedElementsAre(Pair("flag", ParameterValue(true)),
                           Pair("count", ParameterValue(int64_t{-3})),
                           Pair("big", ParameterValue(uint64_t{1} << 63)),
                           Pair("ratio", ParameterValue(0.25)),
                           Pair("text", ParameterValue(std::string("x")))));
  ASSERT_EQ(request.outputs.size(), 1U);
  EXPECT_EQ(request.outputs[0].name, "y");
  EXPECT_TRUE(request.outputs[0].binary);
}

TEST(InferRequestMessageTest, SkipsFieldsThatItDoesNotKnow) {
  std::string bytes = GoodMessage().SerializeAsString();
  bytes += std::string("\x78\x05", 2);              // field 15, varint
  bytes += std::string("\x7d\0\0\0\0", 5);          // 32 bits
  bytes += std::string("\x79\0\0\0\0\0\0\0\0", 9);  // 64 bits
  bytes += std::string("\x7a\x03", 2) + "abc";      // bytes
  EXPECT_THAT(ReadBytes(bytes), IsOk());
}

TEST(InferRequestMessageTest, RefusesRawBesideTypedContents) {
  Message message = GoodMessage();
  message.mutable_inputs(0)->mutable_contents()->add_fp32_contents(1);
  EXPECT_THAT(Read(message), StatusIs(kInvalidArgument, HasSubstr("'x'")));
}

TEST(InferRequestMessageTest, RefusesWhatIsNoMessage) {
  const std::string good = GoodMessage().SerializeAsString();
  for (size_t size = 1; size < good.size(); ++size) {
    const auto request = ReadBytes(good.substr(0, size));
    if (request.ok()) continue;  // what is missing was a field of its own
    EXPECT_THAT(request, StatusIs(kInvalidArgument));
  }
  for (const std::string& bytes :
       {std::string("\x3a\xff\xff\xff\x7f", 5),  // a raw tensor of 256 MiB
        std::string("\x3b", 1), std::string("\0", 1), std::string("\x2a", 1),
        std::string("\x0a\x01\xff", 3)}) {
    EXPECT_THAT(ReadBytes(bytes), StatusIs(kInvalidArgument));
  }
}

TEST(InferRequestMessageTest, RefusesTensorsThatDoNotAddUp) {
  const std::vector<std::function<void(Message&)>> spoilers = {
      [](Message& m) { m.add_raw_input_contents("more"); },
      [](Message& m) { m.mutable_raw_input_contents(0)->pop_back(); },
      [](Message& m) { m.mutable_inputs(0)->set_shape(0, 3); },
      [](Message& m) { m.mutable_inputs(0)->set_shape(0, -1); },
      [](Message& m) { m.mutable_inputs(0)->set_datatype("FP33"); },
      [](Message& m) { m.mutable_inputs(0)->set_datatype("BYTES"); },
      [](Message& m) { m.mutable_inputs(0)->clear_name(); },
      [](Message& m) {
        *m.add_inputs() = m.inputs(0);
        m.add_raw_input_contents(m.raw_input_contents(0));
      },
      [](Message& m) { m.add_outputs(); },
      [](Message& m) {
        m.add_outputs()->set_name("y");
        m.add_outputs()->set_name("y");
      },
      [](Message& m) { (*m.mutable_parameters())["p"]; },
      [](Message& m) {
        (*m.mutable_parameters())["priority"].set_string_param("x");
      },
      [](Message& m) {
        (*m.mutable_parameters())["triton_x"].set_bool_param(true);
      },
  };
  for (size_t i = 0; i < spoilers.size(); ++i) {
    SCOPED_TRACE(i);
    Message message = GoodMessage();
    spoilers[i](message);
    EXPECT_THAT(Read(message), StatusIs(kInvalidArgument));
  }
}

TEST(InferRequestMessageTest, RefusesTypedValuesThatDoNotFit) {
  const std::vector<std::function<void(Message&)>> spoilers = {
      [](Message& m) {
        m.mutable_inputs(0)->mutable_contents()->add_fp32_contents(3);
      },
      [](Message& m) {
        m.mutable_inputs(0)->mutable_contents()->add_int_contents(3);
      },
      [](Message& m) { m.mutable_inputs(0)->clear_contents(); },
      [](Message& m) { m.mutable_inputs(0)->set_datatype("FP16"); },
      [](Message& m) {
        auto& input = *m.mutable_inputs(0);
        input.set_datatype("INT8");
        input.clear_contents();
        input.mutable_contents()->add_int_contents(1);
        input.mutable_contents()->add_int_contents(128);
      },
      [](Message& m) {
        auto& input = *m.mutable_inputs(0);
        input.set_datatype("UINT16");
        input.clear_contents();
        input.mutable_contents()->add_uint_contents(1);
        input.mutable_contents()->add_uint_contents(65'536);
      },
  };
  ASSERT_THAT(Read(GoodMessage(/*raw=*/false)), IsOk());
  for (size_t i = 0; i < spoilers.size(); ++i) {
    SCOPED_TRACE(i);
    Message message = GoodMessage(/*raw=*/false);
    spoilers[i](message);
    EXPECT_THAT(Read(message), StatusIs(kInvalidArgument, HasSubstr("'x'")));
  }
}

TEST(InferRequestMessageTest, RefusesSharedMemoryAndClassification) {
  Message in_memory = GoodMessage();
  in_memory.clear_raw_input_contents();
  (*in_memory.mutable_inputs(0)->mutable_parameters())["shared_memory_region"]
      .set_string_param("r");
  EXPECT_THAT(Read(in_memory), StatusIs(kUnimplemented));
  // Beside another one that is raw.
  Message mixed = GoodMessage();
  *mixed.add_inputs() = in_memory.inputs(0);
  mixed.mutable_inputs(1)->set_name("z");
  EXPECT_THAT(Read(mixed), StatusIs(kUnimplemented));
  for (const char* key : {"classification", "shared_memory_region"}) {
    Message message = GoodMessage();
    auto* const output = message.add_outputs();
    output->set_name("y");
    (*output->mutable_parameters())[key].set_int64_param(2);
    EXPECT_THAT(Read(message), StatusIs(kUnimplemented)) << key;
  }
}

TEST(InferRequestMessageTest, KeepsWithinItsLimits) {
  const CodecLimits limits{.max_tensors = 1,
                           .max_rank = 2,
                           .max_parameters = 1,
                           .max_name_bytes = 4};
  ASSERT_THAT(Read(GoodMessage(), limits), IsOk());
  const std::vector<std::function<void(Message&)>> spoilers = {
      [](Message& m) { m.add_raw_input_contents("more"); },
      [](Message& m) {
        m.clear_raw_input_contents();
        m.add_inputs();
      },
      [](Message& m) { m.mutable_inputs(0)->add_shape(1); },
      [](Message& m) {
        (*m.mutable_parameters())["a"].set_bool_param(true);
        (*m.mutable_parameters())["b"].set_bool_param(true);
      },
      [](Message& m) {
        (*m.mutable_parameters())["abcde"].set_bool_param(true);
      },
      [](Message& m) {
        (*m.mutable_parameters())["a"].set_string_param("abcde");
      },
      [](Message& m) { m.set_model_name("abcde"); },
      [](Message& m) { m.set_model_version("abcde"); },
      [](Message& m) { m.set_id("abcde"); },
      [](Message& m) { m.mutable_inputs(0)->set_name("abcde"); },
      [](Message& m) { m.add_outputs()->set_name("abcde"); },
      [](Message& m) {
        m.add_outputs()->set_name("a");
        m.add_outputs()->set_name("b");
      },
  };
  for (size_t i = 0; i < spoilers.size(); ++i) {
    SCOPED_TRACE(i);
    Message message = GoodMessage();
    spoilers[i](message);
    EXPECT_THAT(Read(message, limits), StatusIs(kInvalidArgument));
  }
}

TEST(InferRequestMessageTest, WritesWhatItReads) {
  std::mt19937_64 random(kSeed);
  InferRequest request{.model_name = "m", .model_version = "2", .id = "i"};
  request.parameters = {{"priority", uint64_t{3}}};
  for (const DataType datatype : kJsonDataTypes) {
    request.inputs.push_back(RandomTensor(
        absl::StrCat("in", request.inputs.size()), datatype, random));
  }
  request.inputs.push_back(RandomTensor("half", DataType::kFp16, random));
  std::byte* data;
  request.inputs.push_back(
      {{"large", DataType::kUint8, {1, 5000}}, Buffer::Allocate(5000, &data)});
  std::memset(data, 7, 5000);
  PARM_ASSERT_OK_AND_ASSIGN(const MessagePieces pieces,
                            WriteInferRequestMessage(request));
  std::string bytes;
  for (const Buffer& piece : pieces) bytes += BytesOf(piece);
  EXPECT_EQ(bytes.size(), TotalBytes(pieces));
  // A large tensor is not copied.
  EXPECT_EQ(pieces.back().bytes().data(), data);
  PARM_ASSERT_OK_AND_ASSIGN(const InferRequest read, ReadBytes(bytes));
  EXPECT_EQ(read.model_name, "m");
  EXPECT_EQ(read.model_version, "2");
  EXPECT_EQ(read.id, "i");
  EXPECT_TRUE(read.binary_outputs);
  EXPECT_TRUE(read.outputs.empty());
  EXPECT_TRUE(read.parameters == request.parameters);
  ASSERT_EQ(read.inputs.size(), request.inputs.size());
  for (size_t i = 0; i < read.inputs.size(); ++i) {
    EXPECT_EQ(read.inputs[i].spec.name, request.inputs[i].spec.name);
    EXPECT_EQ(read.inputs[i].spec.shape, request.inputs[i].spec.shape);
    EXPECT_TRUE(BytesOf(read.inputs[i].data) ==
                BytesOf(request.inputs[i].data));
  }
}

TEST(HeaderMetadataTest, PassesOnWhatIsEndToEnd) {
  EXPECT_THAT(MetadataOf("Authorization: Bearer a:b\r\ntraceparent:00-1\r\n"
                         "X-Both:\r\nx-b-bin: AAE=\r\n"),
              ElementsAre(Pair("authorization", "Bearer a:b"),
                          Pair("traceparent", "00-1"), Pair("x-both", ""),
                          Pair("x-b-bin", std::string("\0\1", 2))));
}

TEST(HeaderMetadataTest, LeavesOutWhatMetadataCannotSay) {
  EXPECT_THAT(MetadataOf("user-agent: a\r\nGrpc-Timeout: 1S\r\nTE: trailers\r\n"
                         "a b: c\r\nx: caf\xc3\xa9\r\ny-bin: %%\r\nno line\r\n"
                         ": d\r\nContent-Type: e\r\n"),
              ElementsAre());
  std::string headers;
  AppendMetadata("grpc-accept-encoding", "gzip", &headers);
  AppendMetadata("x", "a\r\nb: c", &headers);
  AppendMetadata("triton_grpc_error", "true", &headers);
  EXPECT_EQ(headers, "");
  AppendMetadata("x-b-bin", std::string("\0\1", 2), &headers);
  AppendMetadata("x", "a", &headers);
  EXPECT_EQ(headers, "x-b-bin: AAE=\r\nx: a\r\n");
}

}  // namespace
}  // namespace parm::oip
