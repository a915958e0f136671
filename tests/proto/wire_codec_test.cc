#include "proto/wire_codec.h"

#include <bit>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/test_envelopes.h"

namespace parm::wire {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;

absl::Span<const std::byte> Bytes(const std::string& frame) {
  return {reinterpret_cast<const std::byte*>(frame.data()), frame.size()};
}

absl::StatusOr<Envelope> Parse(const std::string& frame) {
  return ParseEnvelope(Bytes(frame));
}

auto Malformed(const std::string& message) {
  return StatusIs(absl::StatusCode::kDataLoss, HasSubstr(message));
}

// Expects that the envelope, changed by `change`, is refused with `message`.
template <typename Change>
void ExpectRefused(Envelope envelope, Change change,
                   const std::string& message) {
  change(envelope);
  SCOPED_TRACE(envelope.ShortDebugString());
  EXPECT_THAT(Parse(SerializeEnvelope(envelope)), Malformed(message));
}

struct Golden {
  Envelope envelope;
  const char* hex;
};

// These bytes are the wire format. When one changes, so must the version, the
// fuzz corpus and docs/wire-format.md.
std::vector<Golden> GoldenBytes() {
  return {
      {HelloRequestEnvelope(),
       "0801"
       "12040a026631"},
      {HelloEnvelope(),
       "0801"
       "1aec01"
       "0a027731"
       "12057261636b31"
       "190807060504030201"
       "2002"
       "2ad001"
       "0a2011111111111111111111111111111111"
       "11111111111111111111111111111111"
       "12016d"
       "1a0176"
       "220131"
       "2802"
       "32120a0178100c1a0bffffffffffffffffff0103"
       "3a120a0179100c1a0bffffffffffffffffff0102"
       "422d0a2022222222222222222222222222222222"
       "22222222222222222222222222222222"
       "12090a0373756d10021802"
       "49000000000000f83f"
       "5a0911000000000000e03f"
       "5a1209000000000000004011000000000000e83f"
       "61000000000000e83f"
       "6a08000000000000e03f"
       "720f080210031a0911000000000000d03f"
       "308008"},
      {InferEnvelope(),
       "0801"
       "2245"
       "090700000000000000"
       "122011111111111111111111111111111111"
       "11111111111111111111111111111111"
       "1801"
       "20a0c21e"
       "2a090a0178100c1a020103"
       "310900000000000000"},
      {StartedEnvelope(),
       "0801"
       "2a12"
       "090700000000000000"
       "110807060504030201"},
      {ReplyEnvelope(),
       "0801"
       "3227"
       "090700000000000000"
       "110807060504030201"
       "2001"
       "2801"
       "3028"
       "38a09c01"
       "52090a0179100c1a020102"},
      {ErrorReplyEnvelope(),
       "0801"
       "3226"
       "090700000000000000"
       "110807060504030201"
       "2002"
       "420e6e6f20737563682062756e646c65"
       "4801"},
      {CancelEnvelope(),
       "0801"
       "3a09"
       "090700000000000000"},
      {HeartbeatEnvelope(),
       "0801"
       "420d"
       "090807060504030201"
       "1003"
       "1802"},
      {DrainEnvelope(),
       "0801"
       "4a09"
       "090807060504030201"},
      {HeartbeatRequestEnvelope(),
       "0801"
       "5200"},
  };
}

TEST(WireCodecTest, EachMessageHasItsGoldenBytes) {
  for (const Golden& golden : GoldenBytes()) {
    EXPECT_EQ(absl::BytesToHexString(SerializeEnvelope(golden.envelope)),
              golden.hex)
        << golden.envelope.ShortDebugString();
    Envelope want = golden.envelope;
    want.set_version(kVersion);
    PARM_ASSERT_OK_AND_ASSIGN(const Envelope got,
                              Parse(absl::HexStringToBytes(golden.hex)));
    EXPECT_TRUE(MessageDifferencer::Equals(got, want));
  }
}

// All hex digits of the code blocks of docs/wire-format.md, in one row.
std::string HexOfThePage() {
  const char* const source = std::getenv("PARM_SOURCE");
  EXPECT_NE(source, nullptr) << "run by ctest";
  return absl::StrReplaceAll(
      ReadFile(absl::StrCat(source, "/docs/wire-format.md")),
      {{" ", ""}, {"\n", ""}});
}

TEST(WireCodecTest, ThePageShowsTheGoldenBytes) {
  const std::string page = HexOfThePage();
  for (const Golden& golden : GoldenBytes()) {
    EXPECT_THAT(page, HasSubstr(golden.hex))
        << golden.envelope.ShortDebugString();
  }
}

TEST(WireCodecTest, AnImageTaskHasTheSizesOfThePage) {
  Envelope infer = InferEnvelope();
  infer.mutable_infer()->clear_priority();
  *infer.mutable_infer()->mutable_tensors(0) =
      Fp32Spec("image", {1, 1, 28, 28});
  EXPECT_EQ(absl::BytesToHexString(SerializeEnvelope(infer)),
            "08012249090700000000000000"
            "1220111111111111111111111111111111111111111111111111111111111111"
            "111120a0c21e2a0f0a05696d616765100c1a0401011c1c"
            "310900000000000000");
  EXPECT_EQ(SerializeEnvelope(infer).size(), 77U);
  Envelope reply = ReplyEnvelope();
  *reply.mutable_reply()->mutable_tensors(0) = Fp32Spec("logits", {1, 10});
  EXPECT_EQ(absl::BytesToHexString(SerializeEnvelope(reply)),
            "0801322c0907000000000000001108070605040302012001280130283"
            "8a09c01520e0a066c6f67697473100c1a02010a");
  EXPECT_EQ(SerializeEnvelope(reply).size(), 48U);
  EXPECT_EQ(SerializeEnvelope(StartedEnvelope()).size(), 22U);
}

TEST(WireCodecTest, EveryTruncationIsRefused) {
  for (const Envelope& envelope : AllEnvelopes()) {
    const std::string frame = SerializeEnvelope(envelope);
    for (size_t size = 0; size < frame.size(); ++size) {
      SCOPED_TRACE(absl::StrCat(envelope.ShortDebugString(), " size=", size));
      EXPECT_THAT(Parse(frame.substr(0, size)),
                  StatusIs(absl::StatusCode::kDataLoss));
    }
  }
}

TEST(WireCodecTest, EveryFlippedByteIsParsedOrRefused) {
  for (const Envelope& envelope : AllEnvelopes()) {
    const std::string frame = SerializeEnvelope(envelope);
    for (size_t i = 0; i < frame.size(); ++i) {
      for (int flip : {0x01, 0x02, 0x80, 0xFF}) {
        std::string changed = frame;
        changed[i] = static_cast<char>(changed[i] ^ flip);
        const absl::Status status = Parse(changed).status();
        EXPECT_TRUE(status.ok() || absl::IsDataLoss(status) ||
                    absl::IsFailedPrecondition(status))
            << status;
      }
    }
  }
}

TEST(WireCodecTest, RandomBytesNeverParseAsAnEnvelope) {
  constexpr uint32_t kSeed = 20190519;
  SCOPED_TRACE(absl::StrCat("seed=", kSeed));
  std::mt19937 random(kSeed);
  for (int i = 0; i < 10000; ++i) {
    std::string frame(random() % 64, '\0');
    for (char& c : frame) c = static_cast<char>(random());
    EXPECT_FALSE(Parse(frame).ok()) << absl::BytesToHexString(frame);
    TaskIdOfMalformed(Bytes(frame));
  }
}

TEST(WireCodecTest, AnotherVersionIsAFailedPrecondition) {
  for (const Envelope& envelope : AllEnvelopes()) {
    Envelope next = envelope;
    next.set_version(kVersion + 1);
    EXPECT_THAT(Parse(next.SerializeAsString()),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         HasSubstr("got 2, want 1")));
  }
  // Also when the rest is nothing that this version knows.
  EXPECT_THAT(Parse(std::string("\x08\x02\xff\xff", 4)),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(WireCodecTest, NoVersionAndNoMessageAreRefused) {
  EXPECT_THAT(Parse(""), Malformed("no version"));
  EXPECT_THAT(Parse(InferEnvelope().SerializeAsString()),
              Malformed("no version"));
  EXPECT_THAT(Parse(std::string("\x08\x01", 2)),
              Malformed("message count differs: got 0"));
}

TEST(WireCodecTest, TwoMessagesInOneEnvelopeAreRefused) {
  const std::string cancel = SerializeEnvelope(CancelEnvelope());
  EXPECT_THAT(Parse(cancel + cancel),
              Malformed("message count differs: got 2"));
  EXPECT_THAT(Parse(cancel + SerializeEnvelope(DrainEnvelope())),
              Malformed("message count differs: got 2"));
}

TEST(WireCodecTest, UnknownFieldsOfThisVersionAreIgnored) {
  // Field 15, a number, in the envelope and in the message.
  const std::string frame(
      "\x08\x01\x3a\x0b\x09\x07\0\0\0\0\0\0\0\x78\x05\x78"
      "\x05",
      17);
  PARM_ASSERT_OK_AND_ASSIGN(const Envelope envelope, Parse(frame));
  EXPECT_EQ(envelope.cancel().task_id(), 7U);
}

TEST(WireCodecTest, BrokenUtf8IsRefusedWithoutALogLine) {
  Envelope envelope = HelloRequestEnvelope();
  std::string frame = SerializeEnvelope(envelope);
  frame.back() = '\xff';
  ::testing::internal::CaptureStderr();
  EXPECT_THAT(Parse(frame), Malformed("not an envelope"));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(WireCodecTest, EnvelopesAboveOneMebibyteAreRefused) {
  std::string frame = SerializeEnvelope(CancelEnvelope());
  frame += std::string(kMaxEnvelopeBytes - frame.size(), '\x78');
  EXPECT_THAT(Parse(frame + "x"), Malformed("too large: got 1048577 bytes"));
  EXPECT_EQ(TaskIdOfMalformed(Bytes(frame + "x")), 7U);
}

TEST(WireCodecTest, CountsAreRefusedBeyondTheirBounds) {
  ExpectRefused(
      InferEnvelope(),
      [](Envelope& e) {
        for (int i = 0; i < kMaxTensors; ++i) {
          e.mutable_infer()->add_tensors();
        }
      },
      "too many specs: got 65 tensors");
  ExpectRefused(
      ReplyEnvelope(),
      [](Envelope& e) {
        for (int i = 0; i < kMaxTensors; ++i) {
          e.mutable_reply()->add_tensors();
        }
      },
      "too many specs: got 65 tensors");
  for (const bool inputs : {true, false}) {
    ExpectRefused(
        HelloEnvelope(),
        [inputs](Envelope& e) {
          BundleInfo* bundle = e.mutable_hello()->mutable_bundles(0);
          for (int i = 0; i < kMaxTensors; ++i) {
            inputs ? bundle->add_inputs() : bundle->add_outputs();
          }
        },
        "too many specs: got 65 tensors");
  }
  ExpectRefused(
      HelloEnvelope(),
      [](Envelope& e) {
        for (int i = 0; i < kMaxBundles; ++i) {
          e.mutable_hello()->add_bundles();
        }
      },
      "257 bundles");
  ExpectRefused(
      HelloEnvelope(),
      [](Envelope& e) {
        for (int i = 0; i < kMaxCalibrationBins; ++i) {
          e.mutable_hello()->mutable_bundles(0)->add_calibration();
        }
      },
      "too many calibration bins: got 34, limit 32");
  ExpectRefused(
      HelloEnvelope(),
      [](Envelope& e) {
        PatternCalibration* pattern =
            e.mutable_hello()->mutable_bundles(0)->mutable_pattern_calibration(
                0);
        for (int i = 0; i < kMaxCalibrationBins; ++i) {
          pattern->add_calibration();
        }
      },
      "too many calibration bins: got 33, limit 32");
  ExpectRefused(
      HelloEnvelope(),
      [](Envelope& e) {
        BundleInfo* bundle = e.mutable_hello()->mutable_bundles(0);
        for (int i = 0; i < kMaxCalibrationPatterns; ++i) {
          bundle->add_pattern_calibration();
        }
      },
      "too many calibration patterns: got 20, limit 19");
}

TEST(WireCodecTest, AsManyPatternsAsFourParitiesHaveAreAccepted) {
  Envelope envelope = HelloEnvelope();
  BundleInfo& bundle = *envelope.mutable_hello()->mutable_bundles(0);
  bundle.mutable_lineage()->mutable_code()->set_k(4);
  bundle.mutable_lineage()->mutable_code()->set_r(4);
  bundle.clear_pattern_calibration();
  for (uint32_t losses = 1; losses <= 4; ++losses) {
    for (uint32_t parities = 1; parities < 16; parities += 2) {
      const bool usual = losses == 1 && parities == 15;
      if (std::popcount(parities) < static_cast<int>(losses) || usual) continue;
      PatternCalibration* pattern = bundle.add_pattern_calibration();
      pattern->set_losses(losses);
      pattern->set_parities(parities);
      for (int i = 0; i < kMaxCalibrationBins; ++i) {
        pattern->add_calibration()->set_margin_at_least(i);
      }
    }
  }
  EXPECT_EQ(bundle.pattern_calibration_size(), kMaxCalibrationPatterns);
  EXPECT_THAT(Parse(SerializeEnvelope(envelope)), IsOk());
}

TEST(WireCodecTest, ALargestHelloIsAccepted) {
  Envelope envelope = HelloEnvelope();
  BundleInfo& bundle = *envelope.mutable_hello()->mutable_bundles(0);
  while (bundle.calibration_size() < kMaxCalibrationBins) {
    CalibrationBin* bin = bundle.add_calibration();
    bin->set_margin_at_least(bundle.calibration_size());
    bin->set_probability_right(1);
  }
  for (int i = 1; i < kMaxBundles; ++i) {
    *envelope.mutable_hello()->add_bundles() = bundle;
  }
  EXPECT_THAT(Parse(SerializeEnvelope(envelope)), IsOk());
}

TEST(WireCodecTest, AnyErrorTextIsMadeSendable) {
  Envelope envelope = ErrorReplyEnvelope();
  envelope.mutable_reply()->set_error("broken \xff\xfe" +
                                      std::string(kMaxErrorBytes, 'e'));
  PARM_ASSERT_OK_AND_ASSIGN(const Envelope got,
                            Parse(SerializeEnvelope(envelope)));
  EXPECT_EQ(got.reply().error().size(), kMaxErrorBytes);
  EXPECT_THAT(got.reply().error(), HasSubstr("broken ??eee"));
}

TEST(WireCodecTest, TaskIdOfMalformedSurvivesTruncation) {
  for (const Envelope& envelope : {InferEnvelope(), StartedEnvelope(),
                                   ReplyEnvelope(), CancelEnvelope()}) {
    const std::string frame = SerializeEnvelope(envelope);
    // Version (2 bytes), the message's tag and length (2 or 3), the id's tag
    // and the id (9).
    for (size_t size = 14; size < frame.size(); ++size) {
      SCOPED_TRACE(absl::StrCat(envelope.ShortDebugString(), " size=", size));
      EXPECT_EQ(TaskIdOfMalformed(Bytes(frame.substr(0, size))), 7U);
    }
  }
}

TEST(WireCodecTest, TaskIdOfMalformedReadsOtherVersions) {
  Envelope envelope = InferEnvelope();
  envelope.set_version(9);
  EXPECT_EQ(TaskIdOfMalformed(Bytes(envelope.SerializeAsString())), 7U);
}

TEST(WireCodecTest, TaskIdOfMalformedIsZeroWhereNoneIs) {
  for (const Envelope& envelope :
       {HelloEnvelope(), HelloRequestEnvelope(), HeartbeatEnvelope(),
        DrainEnvelope(), HeartbeatRequestEnvelope()}) {
    EXPECT_EQ(TaskIdOfMalformed(Bytes(SerializeEnvelope(envelope))), 0U);
  }
  EXPECT_EQ(TaskIdOfMalformed({}), 0U);
  EXPECT_EQ(TaskIdOfMalformed(Bytes("GET / HTTP/1.1\r\n\r\n")), 0U);
}

TEST(WireCodecTest, FramesMustMatchTheirSpecs) {
  google::protobuf::RepeatedPtrField<TensorSpec> specs;
  *specs.Add() = Fp32Spec("x", {2, 3});
  *specs.Add() = Fp32Spec("empty", {0, 3});
  *specs.Add() = Fp32Spec("scalar", {});
  EXPECT_THAT(CheckFrames({24, 0, 4}, specs), IsOk());
  EXPECT_THAT(CheckFrames({24, 0}, specs),
              Malformed("tensor frame count differs: got 2, want 3"));
  EXPECT_THAT(CheckFrames({24, 0, 4, 4}, specs),
              Malformed("tensor frame count differs: got 4, want 3"));
  EXPECT_THAT(CheckFrames({23, 0, 4}, specs),
              Malformed("size of tensor x differs: got 23 bytes, want 24 for "
                        "FP32[2,3]"));
  EXPECT_THAT(CheckFrames({24, 1, 4}, specs), Malformed("tensor empty"));
  EXPECT_THAT(CheckFrames({}, {}), IsOk());
}

TEST(WireCodecTest, FramesOfBytesTensorsHaveAnySize) {
  google::protobuf::RepeatedPtrField<TensorSpec> specs;
  specs.Add()->set_datatype(BYTES);
  EXPECT_THAT(CheckFrames({0}, specs), IsOk());
  EXPECT_THAT(CheckFrames({12345}, specs), IsOk());
}

TEST(WireCodecTest, FramesOfSpecsWithoutASizeAreRefused) {
  google::protobuf::RepeatedPtrField<TensorSpec> specs;
  *specs.Add() = Fp32Spec("x", {-1});
  EXPECT_THAT(CheckFrames({4}, specs), Malformed("tensor x: "));
  *specs.Mutable(0) = Fp32Spec("x", {1});
  specs.Mutable(0)->set_datatype(static_cast<DataType>(99));
  EXPECT_THAT(CheckFrames({4}, specs), Malformed("tensor x: "));
}

TEST(WireCodecTest, SpecsOfEveryDatatypeConvertBothWays) {
  for (int i = 0; i <= 14; ++i) {
    const parm::TensorSpec spec = {.name = "x",
                                   .datatype = static_cast<parm::DataType>(i),
                                   .shape = {-1, 3}};
    EXPECT_EQ(FromWire(ToWire(spec)), spec);
    // The names agree as well, save that INVALID cannot stand alone in C++.
    if (i > 0) {
      EXPECT_EQ(DataType_Name(static_cast<DataType>(i)),
                std::string(DataTypeName(spec.datatype)));
    }
  }
  TensorSpec unknown;
  unknown.set_datatype(static_cast<DataType>(300));
  EXPECT_EQ(FromWire(unknown).datatype, parm::DataType::kInvalid);
}

}  // namespace
}  // namespace parm::wire
