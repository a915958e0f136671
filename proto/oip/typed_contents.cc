#include "proto/oip/typed_contents.h"

#include <cstring>
#include <string>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "proto/oip/grpc_service.pb.h"

namespace parm::oip {
namespace {

using Contents = inference::InferTensorContents;

int NumValues(const Contents& contents) {
  return contents.bool_contents_size() + contents.int_contents_size() +
         contents.int64_contents_size() + contents.uint_contents_size() +
         contents.uint64_contents_size() + contents.fp32_contents_size() +
         contents.fp64_contents_size() + contents.bytes_contents_size();
}

absl::Status WrongCount(DataType datatype, int got, int others, int64_t want) {
  return absl::InvalidArgumentError(
      absl::StrCat("the number of values differs from the shape: got ", got,
                   " ", DataTypeName(datatype), " values and ", others,
                   " of other types, want ", want));
}

template <typename Element, typename Field>
absl::StatusOr<Buffer> CopyField(const Field& field, DataType datatype) {
  std::byte* out;
  Buffer buffer = Buffer::Allocate(
      static_cast<size_t>(field.size()) * sizeof(Element), &out);
  for (const auto value : field) {
    const auto element = static_cast<Element>(value);
    if constexpr (std::is_integral_v<Element>) {
      if (static_cast<decltype(value)>(element) != value) {
        return absl::InvalidArgumentError(
            absl::StrCat("a value is out of the range of ",
                         DataTypeName(datatype), ": got ", value));
      }
    }
    std::memcpy(out, &element, sizeof(Element));
    out += sizeof(Element);
  }
  return buffer;
}

template <typename Element, typename Field>
void FillField(const Buffer& data, Field* field) {
  const size_t num_elements = data.size() / sizeof(Element);
  field->Reserve(static_cast<int>(num_elements));
  for (size_t i = 0; i < num_elements; ++i) {
    Element element;
    std::memcpy(&element, data.bytes().data() + i * sizeof(Element),
                sizeof(Element));
    field->Add(element);
  }
}

Buffer JoinStrings(const Contents& contents) {
  size_t size = 0;
  for (const std::string& text : contents.bytes_contents()) {
    size += sizeof(uint32_t) + text.size();
  }
  std::byte* out;
  Buffer buffer = Buffer::Allocate(size, &out);
  for (const std::string& text : contents.bytes_contents()) {
    const auto length = static_cast<uint32_t>(text.size());
    std::memcpy(out, &length, sizeof(length));
    if (length > 0) std::memcpy(out + sizeof(length), text.data(), length);
    out += sizeof(length) + length;
  }
  return buffer;
}

void SplitStrings(const Buffer& data, Contents* out) {
  const std::byte* bytes = data.bytes().data();
  size_t offset = 0;
  while (offset + sizeof(uint32_t) <= data.size()) {
    uint32_t length;
    std::memcpy(&length, bytes + offset, sizeof(length));
    offset += sizeof(length);
    if (length > data.size() - offset) return;
    out->add_bytes_contents(bytes + offset, length);
    offset += length;
  }
}

}  // namespace

bool HasTypedForm(DataType datatype) {
  return datatype != DataType::kFp16 && datatype != DataType::kBf16;
}

absl::StatusOr<Buffer> ReadTypedContents(const Contents& contents,
                                         DataType datatype,
                                         int64_t num_elements) {
  const auto copy = [&](auto element,
                        const auto& field) -> absl::StatusOr<Buffer> {
    const int others = NumValues(contents) - field.size();
    if (field.size() != num_elements || others != 0) {
      return WrongCount(datatype, field.size(), others, num_elements);
    }
    return CopyField<decltype(element)>(field, datatype);
  };
  switch (datatype) {
    case DataType::kBool:
      return copy(bool{}, contents.bool_contents());
    case DataType::kInt8:
      return copy(int8_t{}, contents.int_contents());
    case DataType::kInt16:
      return copy(int16_t{}, contents.int_contents());
    case DataType::kInt32:
      return copy(int32_t{}, contents.int_contents());
    case DataType::kInt64:
      return copy(int64_t{}, contents.int64_contents());
    case DataType::kUint8:
      return copy(uint8_t{}, contents.uint_contents());
    case DataType::kUint16:
      return copy(uint16_t{}, contents.uint_contents());
    case DataType::kUint32:
      return copy(uint32_t{}, contents.uint_contents());
    case DataType::kUint64:
      return copy(uint64_t{}, contents.uint64_contents());
    case DataType::kFp32:
      return copy(float{}, contents.fp32_contents());
    case DataType::kFp64:
      return copy(double{}, contents.fp64_contents());
    case DataType::kBytes: {
      const int got = contents.bytes_contents_size();
      const int others = NumValues(contents) - got;
      if (got != num_elements || others != 0) {
        return WrongCount(datatype, got, others, num_elements);
      }
      return JoinStrings(contents);
    }
    default:
      return absl::InvalidArgumentError(
          absl::StrCat(DataTypeName(datatype),
                       " has no typed contents: send raw_input_contents"));
  }
}

void WriteTypedContents(DataType datatype, const Buffer& data, Contents* out) {
  switch (datatype) {
    case DataType::kBool:
      return FillField<bool>(data, out->mutable_bool_contents());
    case DataType::kInt8:
      return FillField<int8_t>(data, out->mutable_int_contents());
    case DataType::kInt16:
      return FillField<int16_t>(data, out->mutable_int_contents());
    case DataType::kInt32:
      return FillField<int32_t>(data, out->mutable_int_contents());
    case DataType::kInt64:
      return FillField<int64_t>(data, out->mutable_int64_contents());
    case DataType::kUint8:
      return FillField<uint8_t>(data, out->mutable_uint_contents());
    case DataType::kUint16:
      return FillField<uint16_t>(data, out->mutable_uint_contents());
    case DataType::kUint32:
      return FillField<uint32_t>(data, out->mutable_uint_contents());
    case DataType::kUint64:
      return FillField<uint64_t>(data, out->mutable_uint64_contents());
    case DataType::kFp32:
      return FillField<float>(data, out->mutable_fp32_contents());
    case DataType::kFp64:
      return FillField<double>(data, out->mutable_fp64_contents());
    case DataType::kBytes:
      return SplitStrings(data, out);
    default:
      return;
  }
}

}  // namespace parm::oip
