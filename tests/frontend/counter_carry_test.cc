#include "frontend/counter_carry.h"

#include "gtest/gtest.h"

namespace parm {
namespace {

constexpr char kEarlier[] =
    "# HELP queries_total Answers.\n"
    "# TYPE queries_total counter\n"
    "queries_total{model=\"a b\"} 40000000001\n"
    "queries_total{model=\"gone\"} 3\n"
    "# HELP load Now.\n"
    "# TYPE load gauge\n"
    "load 7\n"
    "# HELP latency_seconds Latency.\n"
    "# TYPE latency_seconds histogram\n"
    "latency_seconds_count 2\n"
    "latency_seconds_sum 0.25\n"
    "latency_seconds_bucket{le=\"+Inf\"} 2\n";

TEST(CounterCarryTest, LeavesATextAsItIsAtFirst) {
  EXPECT_EQ(CounterCarry().ApplyTo(kEarlier), kEarlier);
}

TEST(CounterCarryTest, AddsCountersAndHistogramsButNoGauge) {
  CounterCarry carry;
  carry.Add(kEarlier);
  carry.Add(kEarlier);
  EXPECT_EQ(carry.ApplyTo("# TYPE queries_total counter\n"
                          "queries_total{model=\"a b\"} 1\n"
                          "queries_total{model=\"new\"} 5\n"
                          "# TYPE load gauge\n"
                          "load 1\n"
                          "# TYPE latency_seconds histogram\n"
                          "latency_seconds_count 1\n"
                          "latency_seconds_sum 0.5\n"
                          "latency_seconds_bucket{le=\"+Inf\"} 1\n"),
            "# TYPE queries_total counter\n"
            "queries_total{model=\"a b\"} 80000000003\n"
            "queries_total{model=\"new\"} 5\n"
            "# TYPE load gauge\n"
            "load 1\n"
            "# TYPE latency_seconds histogram\n"
            "latency_seconds_count 5\n"
            "latency_seconds_sum 1\n"
            "latency_seconds_bucket{le=\"+Inf\"} 5\n");
}

}  // namespace
}  // namespace parm
