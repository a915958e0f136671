#include "parity_trainer/npy.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

/// A version 1 file with this header text.
std::string Npy(const std::string& header, const std::string& body) {
  return absl::StrCat(absl::string_view("\x93NUMPY\x01\x00", 8),
                      std::string(1, static_cast<char>(header.size() % 256)),
                      std::string(1, static_cast<char>(header.size() / 256)),
                      header, body);
}

std::string Header(const std::string& descriptor, const std::string& order,
                   const std::string& shape) {
  return absl::StrCat("{'descr': ", descriptor, ", 'fortran_order': ", order,
                      ", 'shape': ", shape, ", }\n");
}

TEST(NpyTest, RoundTripsEveryDatatypeAndRank) {
  for (const DataType datatype :
       {DataType::kBool, DataType::kUint8, DataType::kUint16, DataType::kUint32,
        DataType::kUint64, DataType::kInt8, DataType::kInt16, DataType::kInt32,
        DataType::kInt64, DataType::kFp16, DataType::kFp32, DataType::kFp64}) {
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{}, {3}, {0, 4}, {2, 1, 5}}) {
      SCOPED_TRACE(absl::StrCat(std::string(DataTypeName(datatype)),
                                ShapeToString(shape)));
      HostTensor array{.datatype = datatype, .shape = shape};
      array.bytes.assign(static_cast<size_t>(*NumBytes(datatype, shape)),
                         '\x07');
      const std::string file = SerializeNpy(array);
      EXPECT_EQ((file.size() - array.bytes.size()) % 64, 0U);
      PARM_ASSERT_OK_AND_ASSIGN(const HostTensor back, ParseNpy(file, "f"));
      EXPECT_EQ(back.datatype, datatype);
      EXPECT_EQ(back.shape, shape);
      EXPECT_EQ(back.bytes, array.bytes);
    }
  }
}

TEST(NpyTest, ShapesAreWrittenAsPythonDoes) {
  const auto written = [](const std::vector<int64_t>& shape, size_t bytes) {
    return SerializeNpy({DataType::kUint8, shape, std::string(bytes, 'x')});
  };
  EXPECT_THAT(written({}, 1), HasSubstr("'shape': (), }"));
  EXPECT_THAT(written({3}, 3), HasSubstr("'shape': (3,), }"));
  EXPECT_THAT(written({3, 2}, 6), HasSubstr("'shape': (3, 2), }"));
}

TEST(NpyTest, ReadsKeysInAnyOrder) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const HostTensor array,
      ParseNpy(
          Npy("{'shape': (2,), 'fortran_order':False,'descr' : '|u1'}", "ab"),
          "f"));
  EXPECT_EQ(array.shape, std::vector<int64_t>{2});
  EXPECT_EQ(array.bytes, "ab");
}

TEST(NpyTest, ReadsTheLongerHeaderOfVersionTwo) {
  const std::string header = Header("'<f4'", "False", "(1,)");
  const std::string file =
      absl::StrCat(absl::string_view("\x93NUMPY\x02\x00", 8),
                   std::string(1, static_cast<char>(header.size())),
                   absl::string_view("\0\0\0", 3), header, "abcd");
  PARM_ASSERT_OK_AND_ASSIGN(const HostTensor array, ParseNpy(file, "f"));
  EXPECT_EQ(array.datatype, DataType::kFp32);
}

TEST(NpyTest, UnusableFilesAreInvalid) {
  for (const std::string& file : {
           std::string("not a numpy file"),
           std::string("\x93NUMPY\x09\0\0\0\0\0", 12),
           Npy(Header("'>f4'", "False", "(1,)"), "abcd"),
           Npy(Header("'|O'", "False", "(1,)"), "abcd"),
           Npy(Header("[('a', '<f4')]", "False", "(1,)"), "abcd"),
           Npy(Header("'|u1'", "True", "(1,)"), "a"),
           Npy(Header("'|u1'", "False", "(-1,)"), "a"),
           Npy(Header("'|u1'", "False", "(x,)"), "a"),
           Npy(Header("'|u1'", "False", "1"), "a"),
           Npy("{'descr': '|u1', 'fortran_order': False}", "a"),
           Npy(Header("'|u1'", "False", "(4611686018427387905, 4)"), "a"),
       }) {
    EXPECT_THAT(ParseNpy(file, "some.npy"),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << file;
  }
}

TEST(NpyTest, BytesThatDoNotAddUpAreDataLoss) {
  const std::string file =
      SerializeNpy({DataType::kFp32, {2}, std::string(8, 'x')});
  EXPECT_THAT(ParseNpy(file + "y", "f"), StatusIs(absl::StatusCode::kDataLoss,
                                                  HasSubstr("got 9, want 8")));
  for (size_t size = 12; size < file.size(); ++size) {
    EXPECT_THAT(ParseNpy(file.substr(0, size), "f"),
                StatusIs(absl::StatusCode::kDataLoss))
        << "size=" << size;
  }
}

TEST(NpyTest, FilesAreBoundedAndMustExist) {
  const ScratchDirectory scratch;
  const HostTensor array{DataType::kUint8, {3}, "abc"};
  WriteFile(scratch / "f", SerializeNpy(array));
  EXPECT_THAT(ReadNpy(scratch / "f", 1000), IsOk());
  EXPECT_THAT(ReadNpy(scratch / "f", 100),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ReadNpy(scratch / "none", 100),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace parm
