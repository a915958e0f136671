#include "experiments/load/test_data.h"

#include <unistd.h>
#include <zlib.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TestDataTest : public ::testing::Test {
 protected:
  TestDataTest()
      : directory_(
            absl::StrCat(::testing::TempDir(), "/test_data_", ::getpid())) {
    std::filesystem::create_directories(directory_);
  }
  ~TestDataTest() override { std::filesystem::remove_all(directory_); }

  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(directory_ + "/" + name, std::ios::binary) << bytes;
  }
  void WriteGz(const std::string& name, const std::string& bytes) {
    gzFile file = gzopen((directory_ + "/" + name).c_str(), "wb");
    gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(file);
  }

  /// Two images of 1 x 3.
  static std::string Images() {
    return absl::StrCat(
        std::string("\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x03", 16),
        "abcdef");
  }
  static std::string Labels() {
    return std::string("\0\0\x08\x01\0\0\0\x02", 8) + "\x04\x09";
  }
  static std::string Npy(const std::string& dictionary,
                         const std::vector<float>& values) {
    std::string file("\x93NUMPY\x01\x00", 8);
    file += static_cast<char>(dictionary.size());
    file += '\0';
    file += dictionary;
    file.append(reinterpret_cast<const char*>(values.data()),
                values.size() * sizeof(float));
    return file;
  }

  std::string directory_;
};

TEST_F(TestDataTest, ReadsPlainAndCompressedFiles) {
  Write("t10k-images-idx3-ubyte", Images());
  WriteGz("t10k-labels-idx1-ubyte.gz", Labels());
  PARM_ASSERT_OK_AND_ASSIGN(const TestData data, LoadIdxTestData(directory_));
  EXPECT_EQ(data.num_samples, 2);
  EXPECT_EQ(data.height, 1);
  EXPECT_EQ(data.width, 3);
  EXPECT_THAT(data.pixels, ElementsAre('a', 'b', 'c', 'd', 'e', 'f'));
  EXPECT_THAT(data.labels, ElementsAre(4, 9));
}

TEST_F(TestDataTest, MissingFilesAreNotFound) {
  EXPECT_THAT(LoadIdxTestData(directory_),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(LoadReferenceClasses(directory_ + "/none.npy"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(TestDataTest, BrokenIdxFilesAreDataLoss) {
  Write("t10k-labels-idx1-ubyte", Labels());
  for (const std::string& images :
       {Images().substr(0, 20), Images().substr(0, 10), Images() + "x",
        std::string()}) {
    Write("t10k-images-idx3-ubyte", images);
    EXPECT_THAT(LoadIdxTestData(directory_),
                StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST_F(TestDataTest, OtherFilesThanImagesAreInvalid) {
  Write("t10k-labels-idx1-ubyte", Labels());
  for (const std::string& images : {Labels(), std::string("no IDX at all")}) {
    Write("t10k-images-idx3-ubyte", images);
    EXPECT_THAT(LoadIdxTestData(directory_),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_F(TestDataTest, CutGzipFileIsDataLoss) {
  WriteGz("whole.gz", Images());
  std::ifstream whole(directory_ + "/whole.gz", std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(whole),
                    std::istreambuf_iterator<char>()};
  Write("t10k-images-idx3-ubyte.gz", bytes.substr(0, bytes.size() - 9));
  Write("t10k-labels-idx1-ubyte", Labels());
  EXPECT_THAT(LoadIdxTestData(directory_),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(TestDataTest, CountsThatDifferAreDataLoss) {
  Write("t10k-images-idx3-ubyte", Images());
  Write("t10k-labels-idx1-ubyte",
        std::string("\0\0\x08\x01\0\0\0\x01", 8) + "\x04");
  EXPECT_THAT(
      LoadIdxTestData(directory_),
      StatusIs(absl::StatusCode::kDataLoss, HasSubstr("2 images and 1 label")));
}

TEST_F(TestDataTest, ReferenceIsTheLargestOfEachRow) {
  for (const char* shape : {"(3, 2)", "(3, 2,)", "(3, 2, )"}) {
    SCOPED_TRACE(shape);
    Write("r.npy",
          Npy(absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': ",
                           shape, ", }\n"),
              {1, 2, 4, 3, NAN, -5}));
    EXPECT_THAT(LoadReferenceClasses(directory_ + "/r.npy"),
                IsOkAndHolds(ElementsAre(1, 0, 1)));
  }
}

TEST_F(TestDataTest, OtherArraysAreRefusedAsReference) {
  const std::vector<float> values = {1, 2, 4, 3, 0, -5};
  for (const char* dictionary :
       {"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 1), }\n",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 2), }\n",
        "{}\n"}) {
    SCOPED_TRACE(dictionary);
    Write("r.npy", Npy(dictionary, values));
    EXPECT_THAT(LoadReferenceClasses(directory_ + "/r.npy"),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  Write("r.npy", "nothing");
  EXPECT_THAT(LoadReferenceClasses(directory_ + "/r.npy"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TestDataTest, CutReferenceIsDataLoss) {
  Write("r.npy",
        Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 2), }\n",
            {1, 2, 4, 3, 0, -5}));
  EXPECT_THAT(LoadReferenceClasses(directory_ + "/r.npy"),
              StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace parm
