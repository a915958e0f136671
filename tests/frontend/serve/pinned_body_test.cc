#include "frontend/serve/pinned_body.h"

#include <array>
#include <cstddef>

#include "gtest/gtest.h"

namespace parm {
namespace {

// A body of 100 bytes that tells when nobody holds it any more.
class UnpinBodyTest : public ::testing::Test {
 protected:
  std::array<std::byte, 100> bytes_{};
  bool released_ = false;
  Buffer storage_ = Buffer::Wrap(bytes_, &released_, [](void* released) {
    *static_cast<bool*>(released) = true;
  });
  std::vector<oip::Tensor> inputs_;

  void AddInput(size_t offset, size_t size) {
    inputs_.push_back({.spec = {}, .data = storage_.Slice(offset, size)});
  }
  void Unpin() {
    UnpinBody(storage_, &inputs_);
    storage_ = Buffer();
  }
};

TEST_F(UnpinBodyTest, LetsGoOfABodyThatIsMostlyOther) {
  bytes_[90] = std::byte{7};
  AddInput(90, 5);
  AddInput(95, 0);
  Unpin();
  EXPECT_TRUE(released_);
  ASSERT_EQ(inputs_[0].data.size(), 5U);
  EXPECT_EQ(inputs_[0].data.bytes()[0], std::byte{7});
}

TEST_F(UnpinBodyTest, SharesABodyThatIsMostlyInputs) {
  AddInput(20, 40);
  AddInput(60, 40);
  Unpin();
  EXPECT_FALSE(released_);
  EXPECT_EQ(inputs_[0].data.bytes().data(), bytes_.data() + 20);
}

TEST_F(UnpinBodyTest, LeavesOtherMemoryWhereItIs) {
  const Buffer own = Buffer::FromString("own");
  inputs_.push_back({.spec = {}, .data = own});
  Unpin();
  EXPECT_TRUE(released_);
  EXPECT_EQ(inputs_[0].data.bytes().data(), own.bytes().data());
}

}  // namespace
}  // namespace parm
