#include "base/json_writer.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "simdjson.h"

namespace parm {
namespace {

template <typename Write>
std::string Json(Write write) {
  std::string out;
  JsonWriter json(&out);
  write(json);
  return out;
}

TEST(JsonWriterTest, SeparatesItemsOfNestedContainers) {
  EXPECT_EQ(
      Json([](JsonWriter& json) {
        json.BeginObject();
        json.Key("a").Int(1);
        json.Key("b").BeginArray().Int(1).Int(2).EndArray();
        json.Key("c").BeginObject().EndObject();
        json.Key("d").BeginArray().BeginArray().EndArray();
        json.BeginObject().Key("e").Null().EndObject().EndArray();
        json.Key("f").Bool(true).Key("g").Bool(false);
        json.EndObject();
      }),
      R"({"a":1,"b":[1,2],"c":{},"d":[[],{"e":null}],"f":true,"g":false})");
}

TEST(JsonWriterTest, WritesOneValueWithoutAContainer) {
  EXPECT_EQ(Json([](JsonWriter& json) { json.String("x"); }), "\"x\"");
  EXPECT_EQ(Json([](JsonWriter& json) { json.Raw("[1, 2]"); }), "[1, 2]");
}

TEST(JsonWriterTest, AppendsToWhatTheStringHolds) {
  std::string out = "data: ";
  JsonWriter(&out).BeginArray().Raw("{}").Int(1).EndArray();
  EXPECT_EQ(out, "data: [{},1]");
}

TEST(JsonWriterTest, EscapesWhatJsonForbidsInText) {
  EXPECT_EQ(
      Json([](JsonWriter& json) {
        json.String(absl::string_view("\"\\/\b\f\n\r\t\x01\x1f\0é\x7f", 14));
      }),
      "\"\\\"\\\\/\\u0008\\u000c\\n\\r\\t\\u0001\\u001f\\u0000é\x7f\"");
  EXPECT_EQ(Json([](JsonWriter& json) {
              json.BeginObject().Key("a\"b").Int(0).EndObject();
            }),
            R"({"a\"b":0})");
}

TEST(JsonWriterTest, WritesWholeNumbersToTheirLimits) {
  EXPECT_EQ(Json([](JsonWriter& json) {
              json.BeginArray();
              json.Int(std::numeric_limits<int64_t>::min());
              json.Int(std::numeric_limits<int64_t>::max());
              json.Uint(std::numeric_limits<uint64_t>::max());
              json.EndArray();
            }),
            "[-9223372036854775808,9223372036854775807,18446744073709551615]");
}

TEST(JsonWriterTest, WritesTheShortestTextOfANumber) {
  EXPECT_EQ(Json([](JsonWriter& json) {
              json.BeginArray();
              json.Double(0.1).Double(1).Double(-0.0).Double(1e300);
              json.Float(0.1F).Float(16777216.0F);
              json.EndArray();
            }),
            "[0.1,1,-0,1e+300,0.1,16777216]");
}

TEST(JsonWriterTest, WritesNumbersThatAreNotFiniteAsNull) {
  EXPECT_EQ(Json([](JsonWriter& json) {
              json.BeginArray();
              json.Double(std::nan("")).Double(HUGE_VAL).Double(-HUGE_VAL);
              json.Float(std::nanf("")).Float(HUGE_VALF).Int(1);
              json.EndArray();
            }),
            "[null,null,null,null,null,1]");
}

TEST(JsonWriterTest, EveryFiniteNumberReadsBackEqual) {
  constexpr uint32_t kSeed = 20190519;
  SCOPED_TRACE(absl::StrCat("seed=", kSeed));
  std::mt19937_64 random(kSeed);
  int num_finite = 0;
  for (int i = 0; i < 20000; ++i) {
    double value;
    const uint64_t bits = random();
    std::memcpy(&value, &bits, sizeof(value));
    if (!std::isfinite(value)) continue;
    ++num_finite;
    const std::string text =
        Json([value](JsonWriter& json) { json.Double(value); });
    EXPECT_EQ(std::strtod(text.c_str(), nullptr), value) << text;

    float small;
    const auto small_bits = static_cast<uint32_t>(bits);
    std::memcpy(&small, &small_bits, sizeof(small));
    if (!std::isfinite(small)) continue;
    const std::string small_text =
        Json([small](JsonWriter& json) { json.Float(small); });
    EXPECT_EQ(std::strtof(small_text.c_str(), nullptr), small) << small_text;
  }
  EXPECT_GT(num_finite, 10000);
}

TEST(JsonWriterTest, LargeWholeRealsAreRealsToAParser) {
  // Without an exponent the larger ones would be integers of 20 digits and
  // more, which parsers refuse.
  simdjson::dom::parser parser;
  for (int power = 0; power <= 308; ++power) {
    for (double sign : {1.0, -1.0}) {
      const double value = sign * std::pow(10.0, power);
      const std::string json = Json([value](JsonWriter& out) {
        out.BeginArray().Double(value).EndArray();
      });
      simdjson::dom::element document;
      ASSERT_EQ(parser.parse(json).get(document), simdjson::SUCCESS) << json;
      double read = 0;
      ASSERT_EQ(document.at(0).get(read), simdjson::SUCCESS) << json;
      EXPECT_EQ(read, value) << json;
    }
  }
}

TEST(JsonWriterTest, AParserReadsWhatItWrote) {
  constexpr uint32_t kSeed = 20190519;
  SCOPED_TRACE(absl::StrCat("seed=", kSeed));
  std::mt19937 random(kSeed);
  simdjson::dom::parser parser;
  for (int i = 0; i < 500; ++i) {
    std::string text(random() % 40, '\0');
    for (char& c : text) c = static_cast<char>(random() % 128);
    const double number = std::ldexp(static_cast<double>(random()), -20);
    const std::string json = Json([&](JsonWriter& out) {
      out.BeginObject().Key("text").String(text);
      out.Key("list").BeginArray().Double(number).Null().EndArray();
      out.EndObject();
    });
    simdjson::dom::element document;
    ASSERT_EQ(parser.parse(json).get(document), simdjson::SUCCESS) << json;
    std::string_view read;
    ASSERT_EQ(document["text"].get(read), simdjson::SUCCESS);
    EXPECT_EQ(read, text);
    double read_number = 0;
    ASSERT_EQ(document["list"].at(0).get(read_number), simdjson::SUCCESS);
    EXPECT_EQ(read_number, number);
  }
}

}  // namespace
}  // namespace parm
