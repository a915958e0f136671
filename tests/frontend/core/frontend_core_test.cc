// What Create refuses.

#include "frontend/core/frontend_core.h"

#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"
#include "tests/support/matchers.h"

namespace parm::core {
namespace {

using ::testing::HasSubstr;

struct BadOption {
  std::string message;
  std::function<void(CoreOptions&)> spoil;
};

TEST(FrontendCoreTest, CreateNamesTheBadOption) {
  const std::vector<BadOption> bad = {
      {"no model", [](CoreOptions& o) { o.models.clear(); }},
      {"no worker", [](CoreOptions& o) { o.num_workers = 0; }},
      {"max_queries", [](CoreOptions& o) { o.max_queries = 0; }},
      {"max_queries", [](CoreOptions& o) { o.max_queries = 1U << 30; }},
      {"feedback_horizon",
       [](CoreOptions& o) { o.feedback_horizon = Milliseconds(-1); }},
      {"heartbeat_timeout",
       [](CoreOptions& o) { o.heartbeat_timeout = Duration{0}; }},
      {"probe_interval",
       [](CoreOptions& o) { o.probe_interval = Duration{0}; }},
      {"loser_sample_rate", [](CoreOptions& o) { o.loser_sample_rate = 1.5; }},
      {"deadline", [](CoreOptions& o) { o.models[0].deadline = Duration{0}; }},
      {"max_batch_size",
       [](CoreOptions& o) { o.models[0].max_batch_size = 0; }},
      {"timeouts",
       [](CoreOptions& o) { o.models[0].batch_timeout = Milliseconds(-1); }},
      {"timeouts",
       [](CoreOptions& o) { o.models[0].group_timeout = Milliseconds(-1); }},
      {"needs a code", [](CoreOptions& o) { o.models[0].code = nullptr; }},
      {"more codes",
       [](CoreOptions& o) {
         o.models[0].more_codes.assign(kMaxUnits, o.models[0].code);
       }},
      {"quantile",
       [](CoreOptions& o) { o.models[0].decode.trigger_quantile = 1; }},
      {"decode times",
       [](CoreOptions& o) { o.models[0].decode.slack = Milliseconds(-1); }},
      {"trigger max",
       [](CoreOptions& o) {
         o.models[0].decode.trigger_min = Milliseconds(200);
       }},
      {"min_confidence",
       [](CoreOptions& o) { o.models[0].decode.min_confidence = 1.5F; }},
      {"min_agreement",
       [](CoreOptions& o) { o.models[0].decode.min_agreement = -0.1; }},
      {"floor is above",
       [](CoreOptions& o) {
         o.models[0].decode.min_confidence = 0.5F;
         o.models[0].decode.floor = 0.6F;
       }},
      {"max_extra_load and parity_cost",
       [](CoreOptions& o) { o.models[0].hybrid.parity_cost = -1; }},
      {"calm_share, run_quantile and max_all_late",
       [](CoreOptions& o) { o.models[0].hybrid.gate.calm_share = 2; }},
      {"calm_share, run_quantile and max_all_late",
       [](CoreOptions& o) { o.models[0].hybrid.run_quantile = -1; }},
      {"calm_share, run_quantile and max_all_late",
       [](CoreOptions& o) { o.models[0].hybrid.max_all_late = 1.5; }},
      {"calm_shut must not be negative",
       [](CoreOptions& o) { o.models[0].hybrid.gate.calm_shut = -0.1; }},
      {"0 <= open < shut",
       [](CoreOptions& o) { o.models[0].hybrid.gate.shut = 0.1; }},
      {"a window",
       [](CoreOptions& o) { o.models[0].hybrid.gate.window = Duration{0}; }},
      {"max_noise_gain",
       [](CoreOptions& o) { o.models[0].decode.max_noise_gain = 0; }},
  };
  for (const BadOption& option : bad) {
    SCOPED_TRACE(option.message);
    CoreOptions options = CodedOptions(2, {.scheme = "sum", .k = 2});
    ASSERT_THAT(FrontendCore::Create(options), IsOk());
    option.spoil(options);
    EXPECT_THAT(FrontendCore::Create(options),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(option.message)));
  }
}

}  // namespace
}  // namespace parm::core
