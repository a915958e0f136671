#include "frontend/serve/content_coding.h"

#include <zlib.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"

namespace parm {
namespace {

// zlib's window bits; 16 more mean gzip's header in place of zlib's.
constexpr int kZlibWindow = 15;
constexpr int kGzipWindow = 15 + 16;
constexpr size_t kFirstOutputBytes = size_t{16} << 10;
/// Longer lists than this are no honest ones.
constexpr size_t kMaxAcceptBytes = 1024;

int WindowOf(ContentCoding coding) {
  return coding == ContentCoding::kGzip ? kGzipWindow : kZlibWindow;
}

/// Ends a stream with its scope.
struct Inflater {
  Inflater() = default;
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream); }
  z_stream stream = {};
};

struct Deflater {
  Deflater() = default;
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  ~Deflater() { deflateEnd(&stream); }
  z_stream stream = {};
};

Bytef* ToZlib(const void* data) {
  // zlib does not write to its input, but its type says nothing of that.
  return const_cast<Bytef*>(static_cast<const Bytef*>(data));
}

/// "q=0.5" of one element's parameters; 1 without it.
double QualityOf(absl::string_view parameters) {
  for (absl::string_view parameter : absl::StrSplit(parameters, ';')) {
    parameter = absl::StripAsciiWhitespace(parameter);
    if (!absl::StartsWithIgnoreCase(parameter, "q=")) continue;
    double quality;
    if (!absl::SimpleAtod(parameter.substr(2), &quality)) return 0;
    return quality;
  }
  return 1;
}

}  // namespace

absl::string_view ContentCodingName(ContentCoding coding) {
  switch (coding) {
    case ContentCoding::kGzip:
      return "gzip";
    case ContentCoding::kDeflate:
      return "deflate";
    case ContentCoding::kIdentity:
      break;
  }
  return "identity";
}

absl::StatusOr<ContentCoding> ParseContentEncoding(absl::string_view header) {
  const absl::string_view name = absl::StripAsciiWhitespace(header);
  if (name.empty() || absl::EqualsIgnoreCase(name, "identity")) {
    return ContentCoding::kIdentity;
  }
  if (absl::EqualsIgnoreCase(name, "gzip") ||
      absl::EqualsIgnoreCase(name, "x-gzip")) {
    return ContentCoding::kGzip;
  }
  if (absl::EqualsIgnoreCase(name, "deflate")) return ContentCoding::kDeflate;
  return absl::UnimplementedError(
      absl::StrCat("unsupported Content-Encoding, want gzip or deflate: got '",
                   name.substr(0, 100), "'"));
}

ContentCoding ChooseCoding(absl::string_view accept_encoding) {
  if (accept_encoding.empty() || accept_encoding.size() > kMaxAcceptBytes) {
    return ContentCoding::kIdentity;
  }
  double gzip = -1;
  double deflate = -1;
  double any = 0;
  for (const absl::string_view item : absl::StrSplit(accept_encoding, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(item, absl::MaxSplits(';', 1));
    const absl::string_view name = absl::StripAsciiWhitespace(parts.first);
    const double quality = QualityOf(parts.second);
    if (absl::EqualsIgnoreCase(name, "gzip")) gzip = quality;
    if (absl::EqualsIgnoreCase(name, "deflate")) deflate = quality;
    if (name == "*") any = quality;
  }
  if (gzip < 0) gzip = any;
  if (deflate < 0) deflate = any;
  if (gzip <= 0 && deflate <= 0) return ContentCoding::kIdentity;
  return gzip >= deflate ? ContentCoding::kGzip : ContentCoding::kDeflate;
}

absl::StatusOr<oip::Body> Decompress(ContentCoding coding,
                                     const oip::Body& body, size_t max_bytes) {
  if (coding == ContentCoding::kIdentity) return body;
  Inflater inflater;
  z_stream& stream = inflater.stream;
  if (inflateInit2(&stream, WindowOf(coding)) != Z_OK) {
    return absl::ResourceExhaustedError("no memory to decompress a body");
  }
  stream.next_in = ToZlib(body.storage.bytes().data());
  stream.avail_in = static_cast<uInt>(body.size);
  std::string text;
  int result = Z_OK;
  while (result == Z_OK) {
    const size_t have = text.size();
    // One byte beyond the bound tells "too large" from "just fits".
    const size_t want =
        std::min(std::max(kFirstOutputBytes, 2 * have), max_bytes + 1);
    if (have >= want) {
      return absl::OutOfRangeError(
          absl::StrCat("the body is too large once decompressed: want at most ",
                       max_bytes, " bytes"));
    }
    text.resize(want);
    stream.next_out = reinterpret_cast<Bytef*>(text.data() + have);
    stream.avail_out = static_cast<uInt>(want - have);
    result = inflate(&stream, Z_NO_FLUSH);
    text.resize(want - stream.avail_out);
    if (result == Z_OK && stream.avail_in == 0 && stream.avail_out > 0) break;
  }
  if (text.size() > max_bytes) {
    return absl::OutOfRangeError(
        absl::StrCat("the body is too large once decompressed: want at most ",
                     max_bytes, " bytes"));
  }
  if (result != Z_STREAM_END || stream.avail_in != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body is not valid ", ContentCodingName(coding)));
  }
  oip::Body decoded = oip::BodyOf(std::move(text));
  decoded.json_bytes = body.json_bytes;
  return decoded;
}

std::string Compress(ContentCoding coding, const oip::EncodedBody& body) {
  Deflater deflater;
  z_stream& stream = deflater.stream;
  PARM_CHECK(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, WindowOf(coding),
                          /*memLevel=*/8, Z_DEFAULT_STRATEGY) == Z_OK);
  const size_t size = body.TotalBytes();
  std::string out(deflateBound(&stream, static_cast<uLong>(size)), '\0');
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  // deflateBound promises room for all of it, so every call takes its input.
  const auto feed = [&](const void* data, size_t bytes, int flush) {
    stream.next_in = ToZlib(data);
    stream.avail_in = static_cast<uInt>(bytes);
    return deflate(&stream, flush);
  };
  feed(body.json.data(), body.json.size(), Z_NO_FLUSH);
  for (const Buffer& tensor : body.tensors) {
    if (tensor.empty()) continue;
    feed(tensor.bytes().data(), tensor.size(), Z_NO_FLUSH);
  }
  PARM_CHECK(feed(nullptr, 0, Z_FINISH) == Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  return out;
}

}  // namespace parm
