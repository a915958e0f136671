// What coding costs on a query's path: encoding a group of images, decoding a
// lost output of 1000 classes, and beside them, in the same run, a plain loop
// and memcpy over the same bytes.
//
// FromMemory: the groups go round a ring larger than any cache. Else one group
// is coded again and again, as after a socket has just filled it.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "base/status_macros.h"
#include "benchmark/benchmark.h"
#include "encoder/berrut_code.h"
#include "encoder/code.h"

namespace parm {
namespace {

constexpr int64_t kImageSide = 224;
constexpr int64_t kImageFloats = 3 * kImageSide * kImageSide;
constexpr size_t kRingBytes = size_t{256} << 20;

std::unique_ptr<const Code> MustCreate(const char* scheme, int64_t k,
                                       int r = 1) {
  auto code = CreateCode({.scheme = scheme, .k = static_cast<int>(k), .r = r});
  PARM_CHECK(code.ok());
  return *std::move(code);
}

/// Groups of k members and their parity query, each member on its own pages.
class Ring {
 public:
  Ring(size_t k, size_t member_bytes, size_t parity_bytes, bool from_memory) {
    const size_t group_bytes = k * member_bytes + parity_bytes;
    const size_t num_groups =
        from_memory ? 1 + kRingBytes / group_bytes : size_t{1};
    for (size_t group = 0; group < num_groups; ++group) {
      std::vector<std::vector<std::byte>>& buffers = groups_.emplace_back();
      // Small bytes: as floats they are tiny, but normal.
      for (size_t j = 0; j < k; ++j) {
        buffers.emplace_back(member_bytes, std::byte{0x11});
      }
      buffers.emplace_back(parity_bytes, std::byte{1});
    }
  }

  /// k members, then the parity.
  std::vector<std::vector<std::byte>>& Next() {
    next_ = next_ + 1 == groups_.size() ? 0 : next_ + 1;
    return groups_[next_];
  }

 private:
  std::vector<std::vector<std::vector<std::byte>>> groups_;
  size_t next_ = 0;
};

void CountBytes(benchmark::State& state, size_t bytes_per_iteration) {
  state.SetBytesProcessed(state.iterations() *
                          static_cast<int64_t>(bytes_per_iteration));
}

void RunEncode(benchmark::State& state, const char* scheme, DataType datatype,
               bool from_memory) {
  const int64_t k = state.range(0);
  const std::unique_ptr<const Code> code = MustCreate(scheme, k);
  const int64_t side = state.range(1);
  const TensorSpec member = {"image", datatype, {1, 3, side, side}};
  const auto query = code->ParityQuerySpec(member, static_cast<int>(k));
  PARM_CHECK(query.ok());
  const size_t member_bytes =
      static_cast<size_t>(3 * side * side) * DataTypeSize(datatype);
  const auto parity_bytes =
      static_cast<size_t>(*NumBytes(datatype, query->shape));
  Ring ring(static_cast<size_t>(k), member_bytes, parity_bytes, from_memory);
  std::vector<TensorView> members(static_cast<size_t>(k));
  for (auto _ : state) {
    auto& buffers = ring.Next();
    for (size_t j = 0; j < members.size(); ++j) {
      members[j] = {datatype, member.shape, buffers[j]};
    }
    PARM_CHECK(
        code->Encode(0, members,
                     {datatype, query->shape, absl::MakeSpan(buffers.back())})
            .ok());
    benchmark::ClobberMemory();
  }
  CountBytes(state, members.size() * member_bytes + parity_bytes);
}

void EncodeSum(benchmark::State& state) {
  RunEncode(state, "sum", DataType::kFp32, /*from_memory=*/false);
}
void EncodeSumFromMemory(benchmark::State& state) {
  RunEncode(state, "sum", DataType::kFp32, /*from_memory=*/true);
}
void EncodeSumUint8(benchmark::State& state) {
  RunEncode(state, "sum", DataType::kUint8, /*from_memory=*/false);
}
void EncodeSumFp16(benchmark::State& state) {
  RunEncode(state, "sum", DataType::kFp16, /*from_memory=*/false);
}
void EncodeSumBf16(benchmark::State& state) {
  RunEncode(state, "sum", DataType::kBf16, /*from_memory=*/false);
}
void EncodePack(benchmark::State& state) {
  RunEncode(state, "pack", DataType::kFp32, /*from_memory=*/false);
}
void EncodeStack(benchmark::State& state) {
  RunEncode(state, "stack", DataType::kFp32, /*from_memory=*/false);
}
// As `concat` for k = 2 and 4.
void EncodeTile(benchmark::State& state) {
  RunEncode(state, "tile", DataType::kFp32, /*from_memory=*/false);
}
void EncodeTileUint8(benchmark::State& state) {
  RunEncode(state, "tile", DataType::kUint8, /*from_memory=*/false);
}
void EncodeTileFp16(benchmark::State& state) {
  RunEncode(state, "tile", DataType::kFp16, /*from_memory=*/false);
}

// k members into k + 1 coded queries, all of one image.
constexpr int kBerrutK = 8;

void EncodeBerrut(benchmark::State& state) {
  const auto code =
      BerrutCode::Create({.k = kBerrutK, .num_workers = kBerrutK + 1});
  PARM_CHECK(code.ok());
  const size_t bytes = kImageFloats * sizeof(float);
  Ring members(kBerrutK, bytes, 0, /*from_memory=*/false);
  Ring coded(kBerrutK + 1, bytes, 0, /*from_memory=*/false);
  const int64_t shape[] = {1, kImageFloats};
  std::vector<TensorView> inputs;
  std::vector<MutableTensorView> outputs;
  for (size_t j = 0; j < kBerrutK; ++j) {
    inputs.push_back({DataType::kFp32, shape, members.Next()[j]});
  }
  for (size_t i = 0; i <= kBerrutK; ++i) {
    outputs.push_back(
        {DataType::kFp32, shape, absl::MakeSpan(coded.Next()[i])});
  }
  for (auto _ : state) {
    PARM_CHECK(code->Encode(inputs, outputs).ok());
    benchmark::ClobberMemory();
  }
  CountBytes(state, (2 * kBerrutK + 1) * bytes);
}

// The three loops that anybody would write first.
void EncodeBerrutNaive(benchmark::State& state) {
  const auto code =
      BerrutCode::Create({.k = kBerrutK, .num_workers = kBerrutK + 1});
  PARM_CHECK(code.ok());
  std::vector<std::vector<float>> members(
      kBerrutK, std::vector<float>(kImageFloats, 0.5F));
  std::vector<std::vector<float>> coded(kBerrutK + 1,
                                        std::vector<float>(kImageFloats));
  std::vector<std::vector<float>> weights(kBerrutK + 1);
  for (int i = 0; i <= kBerrutK; ++i) {
    for (int j = 0; j < kBerrutK; ++j) {
      weights[static_cast<size_t>(i)].push_back(
          static_cast<float>(code->encode_matrix().at(i, j)));
    }
  }
  for (auto _ : state) {
    for (size_t i = 0; i < coded.size(); ++i) {
      for (size_t v = 0; v < coded[i].size(); ++v) {
        float sum = 0;
        for (size_t j = 0; j < members.size(); ++j) {
          sum += weights[i][j] * members[j][v];
        }
        coded[i][v] = sum;
      }
    }
    benchmark::ClobberMemory();
  }
  CountBytes(state, (2 * kBerrutK + 1) * kImageFloats * sizeof(float));
}

// The loop that anybody would write for a k known at compile time.
template <int k>
void AddFloats(const std::vector<std::vector<std::byte>>& buffers,
               float* __restrict out, size_t count) {
  const float* inputs[k];
  for (size_t j = 0; j < k; ++j) {
    inputs[j] = reinterpret_cast<const float*>(buffers[j].data());
  }
  for (size_t i = 0; i < count; ++i) {
    float sum = inputs[0][i];
    for (int j = 1; j < k; ++j) sum += inputs[j][i];
    out[i] = sum;
  }
}

void RunPlainLoop(benchmark::State& state, bool from_memory) {
  const auto k = static_cast<size_t>(state.range(0));
  const auto count = static_cast<size_t>(state.range(1));
  const size_t bytes = count * sizeof(float);
  Ring ring(k, bytes, bytes, from_memory);
  for (auto _ : state) {
    auto& buffers = ring.Next();
    auto* out = reinterpret_cast<float*>(buffers.back().data());
    if (k == 2) AddFloats<2>(buffers, out, count);
    if (k == 3) AddFloats<3>(buffers, out, count);
    if (k == 4) AddFloats<4>(buffers, out, count);
    benchmark::ClobberMemory();
  }
  CountBytes(state, (k + 1) * bytes);
}

void PlainLoop(benchmark::State& state) {
  RunPlainLoop(state, /*from_memory=*/false);
}
void PlainLoopFromMemory(benchmark::State& state) {
  RunPlainLoop(state, /*from_memory=*/true);
}

void Memcpy(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(0));
  Ring ring(1, bytes, bytes, /*from_memory=*/true);
  for (auto _ : state) {
    auto& buffers = ring.Next();
    std::memcpy(buffers[1].data(), buffers[0].data(), bytes);
    benchmark::ClobberMemory();
  }
  CountBytes(state, 2 * bytes);
}

void RunDecode(benchmark::State& state, const char* scheme) {
  const auto k = static_cast<int>(state.range(0));
  const std::unique_ptr<const Code> code = MustCreate(scheme, k);
  const TensorSpec member = {"logits", DataType::kFp32, {1, state.range(1)}};
  const auto answer = code->ParityOutputSpec(member);
  PARM_CHECK(answer.ok());
  const auto bytes =
      static_cast<size_t>(*NumBytes(DataType::kFp32, member.shape));
  const auto answer_bytes =
      static_cast<size_t>(*NumBytes(DataType::kFp32, answer->shape));
  Ring ring(static_cast<size_t>(k), bytes, answer_bytes, false);
  const auto& buffers = ring.Next();
  std::vector<std::optional<TensorView>> outputs(static_cast<size_t>(k) + 1);
  for (size_t slot = 1; slot < outputs.size(); ++slot) {
    const bool is_answer = slot + 1 == outputs.size();
    outputs[slot] = {DataType::kFp32, is_answer ? answer->shape : member.shape,
                     buffers[slot]};
  }
  std::vector<std::byte> result(bytes);
  for (auto _ : state) {
    PARM_CHECK(
        code->Decode(k, outputs, /*lost=*/0,
                     {DataType::kFp32, member.shape, absl::MakeSpan(result)})
            .ok());
    benchmark::ClobberMemory();
  }
}

void DecodeLinear(benchmark::State& state) { RunDecode(state, "sum"); }
// `tile` and `stack` likewise.
void DecodePack(benchmark::State& state) { RunDecode(state, "pack"); }

// Two losses from both parities.
void DecodeWeighted(benchmark::State& state) {
  const auto k = static_cast<int>(state.range(0));
  const std::unique_ptr<const Code> code = MustCreate("weighted", k, /*r=*/2);
  const int64_t shape[] = {1, state.range(1)};
  const auto bytes = static_cast<size_t>(state.range(1)) * sizeof(float);
  Ring ring(static_cast<size_t>(k) + 2, bytes, 0, /*from_memory=*/false);
  const auto& buffers = ring.Next();
  std::vector<std::optional<TensorView>> outputs(static_cast<size_t>(k) + 2);
  for (size_t slot = 2; slot < outputs.size(); ++slot) {
    outputs[slot] = {DataType::kFp32, shape, buffers[slot]};
  }
  std::vector<std::byte> result(bytes);
  for (auto _ : state) {
    for (int lost : {0, 1}) {
      PARM_CHECK(code->Decode(k, outputs, lost,
                              {DataType::kFp32, shape, absl::MakeSpan(result)})
                     .ok());
    }
    benchmark::ClobberMemory();
  }
}

void CreateSum(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(MustCreate("sum", state.range(0)));
  }
}
void CreateWeighted(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(MustCreate("weighted", state.range(0), /*r=*/2));
  }
}

BENCHMARK(EncodeSum)
    ->ArgNames({"k", "side"})
    ->ArgsProduct({{2, 3, 4, 8}, {kImageSide}});
BENCHMARK(PlainLoop)
    ->ArgNames({"k", "floats"})
    ->ArgsProduct({{2, 3, 4}, {kImageFloats}});
BENCHMARK(EncodeSumFromMemory)
    ->ArgNames({"k", "side"})
    ->ArgsProduct({{2, 3, 4}, {kImageSide}});
BENCHMARK(PlainLoopFromMemory)
    ->ArgNames({"k", "floats"})
    ->ArgsProduct({{2, 3, 4}, {kImageFloats}});
BENCHMARK(Memcpy)->ArgName("bytes")->Arg(kImageFloats * 4);
BENCHMARK(EncodeSumUint8)
    ->ArgNames({"k", "side"})
    ->ArgsProduct({{2, 4, 8}, {kImageSide}});
BENCHMARK(EncodeSumFp16)
    ->ArgNames({"k", "side"})
    ->ArgsProduct({{2, 4}, {kImageSide}});
BENCHMARK(EncodeSumBf16)
    ->ArgNames({"k", "side"})
    ->ArgsProduct({{2, 4}, {kImageSide}});
BENCHMARK(EncodePack)
    ->ArgNames({"k", "side"})
    ->ArgsProduct({{2, 4}, {kImageSide}});
BENCHMARK(EncodeStack)
    ->ArgNames({"k", "side"})
    ->ArgsProduct({{2, 4}, {kImageSide}});
// 32: the pictures of CIFAR-10.
BENCHMARK(EncodeTile)
    ->ArgNames({"k", "side"})
    ->ArgsProduct({{2, 3, 4, 16}, {32, kImageSide}});
BENCHMARK(EncodeTileUint8)
    ->ArgNames({"k", "side"})
    ->ArgsProduct({{2, 4, 16}, {32, kImageSide}});
BENCHMARK(EncodeTileFp16)
    ->ArgNames({"k", "side"})
    ->ArgsProduct({{4}, {kImageSide}});
BENCHMARK(EncodeBerrut);
BENCHMARK(EncodeBerrutNaive);
BENCHMARK(DecodeLinear)
    ->ArgNames({"k", "classes"})
    ->ArgsProduct({{2, 3, 4, 8}, {10, 1000}});
BENCHMARK(DecodePack)->ArgNames({"k", "classes"})->ArgsProduct({{4}, {1000}});
BENCHMARK(DecodeWeighted)
    ->ArgNames({"k", "classes"})
    ->ArgsProduct({{2, 4}, {1000}});
BENCHMARK(CreateSum)->ArgName("k")->Arg(2)->Arg(8);
BENCHMARK(CreateWeighted)->ArgName("k")->Arg(2)->Arg(8);

}  // namespace
}  // namespace parm
