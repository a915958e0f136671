#include "base/buffer.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace parm {
namespace {

absl::Span<const std::byte> Bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

std::string Text(const Buffer& buffer) {
  return {reinterpret_cast<const char*>(buffer.bytes().data()), buffer.size()};
}

// Memory that somebody else owns, and how often it was given back.
struct Owner {
  std::string text = "owned elsewhere";
  std::atomic<int> num_releases{0};
  static void Release(void* owner) {
    static_cast<Owner*>(owner)->num_releases.fetch_add(1);
  }
  Buffer Wrap() { return Buffer::Wrap(Bytes(text), this, &Owner::Release); }
};

TEST(BufferTest, DefaultBufferHoldsNoBytes) {
  const Buffer buffer;
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.size(), 0U);
  const Buffer copy = buffer;  // NOLINT: the copy is what is tested
  EXPECT_TRUE(copy.empty());
}

TEST(BufferTest, AllocatedBytesAreWritableAndAligned) {
  for (size_t size : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65},
                      size_t{3136}, size_t{1} << 20}) {
    SCOPED_TRACE(size);
    std::byte* data = nullptr;
    const Buffer buffer = Buffer::Allocate(size, &data);
    ASSERT_NE(data, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0U);
    std::memset(data, 0x5A, size);
    EXPECT_EQ(buffer.size(), size);
    EXPECT_EQ(Text(buffer), std::string(size, 0x5A));
  }
}

TEST(BufferTest, CopyOfOutlivesItsSource) {
  Buffer buffer;
  {
    const std::string source(1000, 'x');
    buffer = Buffer::CopyOf(Bytes(source));
  }
  EXPECT_EQ(Text(buffer), std::string(1000, 'x'));
  EXPECT_TRUE(Buffer::CopyOf({}).empty());
}

TEST(BufferTest, FromStringKeepsShortAndLongText) {
  for (size_t size : {size_t{0}, size_t{3}, size_t{5000}}) {
    EXPECT_EQ(Text(Buffer::FromString(std::string(size, 's'))),
              std::string(size, 's'));
  }
}

TEST(BufferTest, CopiesShareBytesInsteadOfCopying) {
  const Buffer first = Buffer::FromString(std::string(100, 's'));
  const Buffer second = first;
  EXPECT_EQ(second.bytes().data(), first.bytes().data());
}

TEST(BufferTest, MovedFromBufferIsEmpty) {
  Buffer first = Buffer::FromString("text");
  const Buffer second = std::move(first);
  EXPECT_TRUE(first.empty());  // NOLINT: promised by the move constructor
  EXPECT_EQ(Text(second), "text");
}

TEST(BufferTest, LastReferenceReleasesTheOwnerOnce) {
  Owner owner;
  {
    Buffer first = owner.Wrap();
    {
      const Buffer second = first;
      const Buffer slice = first.Slice(0, 5);
      first = Buffer();
      EXPECT_EQ(owner.num_releases, 0);
      EXPECT_EQ(Text(slice), "owned");
    }
    EXPECT_EQ(owner.num_releases, 1);
  }
  EXPECT_EQ(owner.num_releases, 1);
}

TEST(BufferTest, AssignmentToItselfKeepsTheBytes) {
  Owner owner;
  Buffer buffer = owner.Wrap();
  const Buffer& same = buffer;
  buffer = same;
  EXPECT_EQ(owner.num_releases, 0);
  EXPECT_EQ(Text(buffer), "owned elsewhere");
}

TEST(BufferTest, SliceKeepsTheWholeAlive) {
  Buffer slice;
  {
    const Buffer whole = Buffer::FromString("0123456789");
    slice = whole.Slice(2, 5).Slice(1, 3);
  }
  EXPECT_EQ(Text(slice), "345");
  const Buffer whole = Buffer::FromString("0123");
  EXPECT_EQ(Text(whole.Slice(0, 4)), "0123");
  EXPECT_TRUE(whole.Slice(4, 0).empty());
}

TEST(BufferDeathTest, SliceBeyondTheEndEndsTheProcess) {
  const Buffer buffer = Buffer::FromString("0123");
  EXPECT_DEATH(buffer.Slice(2, 3), "check failed");
  EXPECT_DEATH(buffer.Slice(5, 0), "check failed");
  EXPECT_DEATH(buffer.Slice(1, SIZE_MAX), "check failed");
}

TEST(BufferTest, ThreadsCopyAndDropTheSameBytes) {
  constexpr int kNumThreads = 4;
  constexpr int kNumRounds = 2000;
  Owner owner;
  {
    const Buffer shared = owner.Wrap();
    std::vector<std::thread> threads;
    std::atomic<int> num_wrong{0};
    for (int i = 0; i < kNumThreads; ++i) {
      // Each thread has a Buffer of its own.
      threads.emplace_back([mine = shared, &num_wrong] {
        for (int round = 0; round < kNumRounds; ++round) {
          const Buffer copy = mine;
          const Buffer slice = copy.Slice(0, 5);
          if (Text(slice) != "owned") num_wrong.fetch_add(1);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(num_wrong, 0);
    EXPECT_EQ(owner.num_releases, 0);
  }
  EXPECT_EQ(owner.num_releases, 1);
}

TEST(BufferTest, BytesWrittenHereAreSeenWhereTheyAreFreed) {
  constexpr int kNumRounds = 500;
  // The last reference is dropped on either thread, as with a zero-copy
  // message; ThreadSanitizer watches the write, the read and the free.
  for (int round = 0; round < kNumRounds; ++round) {
    std::byte* data = nullptr;
    Buffer mine = Buffer::Allocate(64, &data);
    std::memset(data, round, 64);
    std::thread other([theirs = mine, round]() mutable {
      EXPECT_EQ(theirs.bytes()[63], static_cast<std::byte>(round));
      theirs = Buffer();
    });
    mine = Buffer();
    other.join();
  }
}

}  // namespace
}  // namespace parm
