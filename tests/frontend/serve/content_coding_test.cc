#include "frontend/serve/content_coding.h"

#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMaxBytes = 1 << 20;
constexpr ContentCoding kCodings[] = {ContentCoding::kGzip,
                                      ContentCoding::kDeflate};

std::string TextOf(const oip::Body& body) {
  return std::string(reinterpret_cast<const char*>(body.storage.bytes().data()),
                     body.size);
}

TEST(ContentCodingTest, RestoresWhatWasCompressed) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    std::mt19937_64 random(seed);
    oip::EncodedBody plain;
    plain.json = std::string(random() % 100'000, 'j');
    for (char& c : plain.json) c = static_cast<char>('a' + random() % 4);
    for (size_t i = random() % 3; i > 0; --i) {
      std::string tensor(random() % 50'000, '\0');
      for (char& c : tensor) c = static_cast<char>(random());
      plain.tensors.push_back(Buffer::FromString(tensor));
    }
    const std::string want = TextOf(oip::Flatten(plain));
    for (const ContentCoding coding : kCodings) {
      SCOPED_TRACE(absl::StrCat("seed=", seed, " ", ContentCodingName(coding)));
      oip::Body packed = oip::BodyOf(Compress(coding, plain));
      packed.json_bytes = 17;
      PARM_ASSERT_OK_AND_ASSIGN(const oip::Body got,
                                Decompress(coding, packed, kMaxBytes));
      EXPECT_EQ(TextOf(got), want);
      EXPECT_EQ(got.json_bytes, 17u);
    }
  }
}

TEST(ContentCodingTest, RefusesBrokenBodies) {
  for (const ContentCoding coding : kCodings) {
    SCOPED_TRACE(std::string(ContentCodingName(coding)));
    const std::string good = Compress(coding, {.json = "hello, hello, hello"});
    const auto refused = [&](const std::string& text) {
      return Decompress(coding, oip::BodyOf(text), kMaxBytes);
    };
    EXPECT_THAT(refused(good), IsOk());
    constexpr auto kBroken = absl::StatusCode::kInvalidArgument;
    for (size_t size = 0; size < good.size(); ++size) {
      EXPECT_THAT(refused(good.substr(0, size)), StatusIs(kBroken)) << size;
    }
    EXPECT_THAT(refused(good + "x"), StatusIs(kBroken));
    EXPECT_THAT(refused("plain text"), StatusIs(kBroken));
    std::string flipped = good;
    flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 1);
    EXPECT_THAT(refused(flipped), StatusIs(kBroken));
  }
}

TEST(ContentCodingTest, BoundsWhatABodyGrowsTo) {
  for (const ContentCoding coding : kCodings) {
    const oip::Body packed =
        oip::BodyOf(Compress(coding, {.json = std::string(100'000, ' ')}));
    EXPECT_THAT(Decompress(coding, packed, 100'000), IsOk());
    EXPECT_THAT(Decompress(coding, packed, 99'999),
                StatusIs(absl::StatusCode::kOutOfRange,
                         HasSubstr("want at most 99999")));
    EXPECT_THAT(Decompress(coding, packed, 0),
                StatusIs(absl::StatusCode::kOutOfRange));
  }
}

TEST(ContentCodingTest, ReadsContentEncodingHeaders) {
  EXPECT_THAT(ParseContentEncoding(""), IsOkAndHolds(ContentCoding::kIdentity));
  EXPECT_THAT(ParseContentEncoding("Identity"),
              IsOkAndHolds(ContentCoding::kIdentity));
  EXPECT_THAT(ParseContentEncoding(" GZIP "),
              IsOkAndHolds(ContentCoding::kGzip));
  EXPECT_THAT(ParseContentEncoding("x-gzip"),
              IsOkAndHolds(ContentCoding::kGzip));
  EXPECT_THAT(ParseContentEncoding("deflate"),
              IsOkAndHolds(ContentCoding::kDeflate));
  for (const char* unknown : {"br", "gzip, gzip", "gzip;q=1"}) {
    EXPECT_THAT(ParseContentEncoding(unknown),
                StatusIs(absl::StatusCode::kUnimplemented));
  }
}

TEST(ContentCodingTest, ChoosesWhatTheClientLikesBest) {
  const std::pair<const char*, ContentCoding> cases[] = {
      {"", ContentCoding::kIdentity},
      {"br", ContentCoding::kIdentity},
      {"gzip, deflate, br", ContentCoding::kGzip},
      {"deflate", ContentCoding::kDeflate},
      {"gzip;q=0.5, deflate;q=0.8", ContentCoding::kDeflate},
      {"gzip;q=0", ContentCoding::kIdentity},
      {"gzip;q=0, *", ContentCoding::kDeflate},
      {"*", ContentCoding::kGzip},
      {"gzip;q=x", ContentCoding::kIdentity},
      {"GZip ; Q=1.0", ContentCoding::kGzip}};
  for (const auto& [header, want] : cases) {
    EXPECT_EQ(ChooseCoding(header), want) << header;
  }
  EXPECT_EQ(ChooseCoding(std::string(2000, ' ') + "gzip"),
            ContentCoding::kIdentity);
}

}  // namespace
}  // namespace parm
