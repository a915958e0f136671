#include "backends/outgoing_reply.h"

#include <cstring>
#include <memory>

#include "backends/served_bundle.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/wire_codec.h"
#include "tests/support/linear_model.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::ElementsAre;

absl::Span<const std::byte> BytesOf(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

class OutgoingReplyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto bundle =
        WriteLinearBundle(scratch_ / "bundle",
                          {.model = {.num_outputs = 3}, .sample_shape = {4}});
    ASSERT_THAT(bundle, IsOk());
    auto served = ServedBundle::Create(*std::move(bundle), LoadLinearModel, {});
    ASSERT_THAT(served, IsOk());
    served_ = *std::move(served);
    finished_.key = {PeerId{1}, TaskId{9}};
    finished_.bundle = served_.get();
    finished_.status = wire::OK;
    finished_.started = true;
    finished_.queued = Milliseconds(2);
    finished_.computed = Milliseconds(3);
    finished_.outputs.push_back({.datatype = DataType::kFp32,
                                 .shape = {1, 3},
                                 .bytes = Buffer::FromString("abcdefghijkl")});
  }

  ScratchDirectory scratch_;
  std::unique_ptr<const ServedBundle> served_;
  TaskFinished finished_;
};

TEST_F(OutgoingReplyTest, SharesTheOutputsBytes) {
  const OutgoingReply reply = BuildReply(finished_, /*instance_nonce=*/5);
  ASSERT_EQ(reply.tensors.size(), 1U);
  EXPECT_EQ(reply.tensors[0].bytes().data(),
            finished_.outputs[0].bytes.bytes().data());
  PARM_ASSERT_OK_AND_ASSIGN(const wire::Envelope envelope,
                            wire::ParseEnvelope(BytesOf(reply.envelope)));
  EXPECT_EQ(envelope.reply().task_id(), 9U);
  EXPECT_EQ(envelope.reply().instance_nonce(), 5U);
  EXPECT_EQ(envelope.reply().queue_us(), 2000);
  EXPECT_EQ(envelope.reply().compute_us(), 3000);
  EXPECT_EQ(envelope.reply().tensors(0).name(), "logits");
}

TEST_F(OutgoingReplyTest, WrongBytesKeepTheirSize) {
  OutgoingReply reply = BuildReply(finished_, 5);
  const std::string envelope = reply.envelope;
  CorruptReply(Corruption::kWrongBytes, /*bits=*/1, &reply);
  EXPECT_EQ(reply.envelope, envelope);
  ASSERT_EQ(reply.tensors[0].size(), 12U);
  EXPECT_NE(std::memcmp(reply.tensors[0].bytes().data(), "abcdefghijkl", 12),
            0);
  // The model's own bytes are untouched.
  EXPECT_EQ(std::memcmp(finished_.outputs[0].bytes.bytes().data(),
                        "abcdefghijkl", 12),
            0);
}

TEST_F(OutgoingReplyTest, WrongShapeIsWellFormedOnTheWire) {
  OutgoingReply reply = BuildReply(finished_, 5);
  CorruptReply(Corruption::kWrongShape, /*bits=*/1, &reply);
  PARM_ASSERT_OK_AND_ASSIGN(const wire::Envelope envelope,
                            wire::ParseEnvelope(BytesOf(reply.envelope)));
  EXPECT_THAT(envelope.reply().tensors(0).shape(), ElementsAre(4));
  const size_t size = reply.tensors[0].size();
  EXPECT_THAT(wire::CheckFrames({&size, 1}, envelope.reply().tensors()),
              IsOk());
}

TEST_F(OutgoingReplyTest, GarbageFrameDoesNotParse) {
  OutgoingReply reply = BuildReply(finished_, 5);
  CorruptReply(Corruption::kGarbageFrame, /*bits=*/1, &reply);
  EXPECT_THAT(wire::ParseEnvelope(BytesOf(reply.envelope)),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(OutgoingReplyTest, ErrorReplyBecomesGarbageWhatever) {
  finished_.status = wire::ERROR;
  finished_.outputs.clear();
  for (const Corruption corruption :
       {Corruption::kWrongBytes, Corruption::kWrongShape}) {
    OutgoingReply reply = BuildReply(finished_, 5);
    const std::string envelope = reply.envelope;
    CorruptReply(corruption, /*bits=*/1, &reply);
    EXPECT_NE(reply.envelope, envelope);
  }
}

TEST_F(OutgoingReplyTest, NoCorruptionChangesNothing) {
  OutgoingReply reply = BuildReply(finished_, 5);
  const std::string envelope = reply.envelope;
  CorruptReply(Corruption::kNone, /*bits=*/1, &reply);
  EXPECT_EQ(reply.envelope, envelope);
}

}  // namespace
}  // namespace parm
