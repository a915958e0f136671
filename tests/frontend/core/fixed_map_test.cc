#include "frontend/core/fixed_map.h"

#include <map>
#include <random>

#include "gtest/gtest.h"

namespace parm::core {
namespace {

// All keys share few homes, so that entries push each other along.
struct CrowdedKey {
  uint64_t value = 0;
  bool operator==(const CrowdedKey&) const = default;
};
uint64_t Hash(const CrowdedKey& key) { return key.value % 5; }

template <typename Key>
void ExpectAgreesWithStdMap(uint64_t seed, uint64_t num_keys) {
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  constexpr size_t kMaxEntries = 20;
  FixedMap<Key, int> map(kMaxEntries);
  std::map<uint64_t, int> want;
  for (int step = 0; step < 5000; ++step) {
    const uint64_t key = random() % num_keys;
    if (want.contains(key)) {
      EXPECT_TRUE(map.Erase(Key{key}));
      want.erase(key);
    } else if (!map.full()) {
      map.Insert(Key{key}, step);
      want[key] = step;
    } else {
      EXPECT_FALSE(map.Erase(Key{key}));
    }
    ASSERT_EQ(map.size(), want.size());
    for (uint64_t k = 0; k < num_keys; ++k) {
      const int* const found = map.Find(Key{k});
      const auto expected = want.find(k);
      ASSERT_EQ(found != nullptr, expected != want.end());
      if (found != nullptr) {
        ASSERT_EQ(*found, expected->second);
      }
    }
  }
}

TEST(FixedMapTest, AgreesWithStdMapOverRandomChanges) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    ExpectAgreesWithStdMap<uint64_t>(seed, 40);
  }
}

TEST(FixedMapTest, AgreesWithStdMapWhenKeysCollide) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    ExpectAgreesWithStdMap<CrowdedKey>(seed, 40);
  }
}

}  // namespace
}  // namespace parm::core
