#include "proto/envelope_check.h"

#include <limits>
#include <string>

#include "gtest/gtest.h"
#include "proto/wire_codec.h"
#include "tests/support/matchers.h"
#include "tests/support/test_envelopes.h"

namespace parm::wire {
namespace {

using ::testing::HasSubstr;

// Over the wire, so that ParseEnvelope is seen to check.
absl::Status Parse(const std::string& frame) {
  return ParseEnvelope(
             {reinterpret_cast<const std::byte*>(frame.data()), frame.size()})
      .status();
}

auto Malformed(const std::string& message) {
  return StatusIs(absl::StatusCode::kDataLoss, HasSubstr(message));
}

// Expects that the envelope, changed by `change`, is refused with `message`.
template <typename Change>
void ExpectRefused(Envelope envelope, Change change,
                   const std::string& message) {
  change(envelope);
  SCOPED_TRACE(envelope.ShortDebugString());
  EXPECT_THAT(Parse(SerializeEnvelope(envelope)), Malformed(message));
}

TEST(EnvelopeCheckTest, TasksNeedAnIdAboveZero) {
  ExpectRefused(
      InferEnvelope(), [](Envelope& e) { e.mutable_infer()->clear_task_id(); },
      "task_id is 0");
  ExpectRefused(
      StartedEnvelope(),
      [](Envelope& e) { e.mutable_started()->clear_task_id(); },
      "task_id is 0");
  ExpectRefused(
      ReplyEnvelope(), [](Envelope& e) { e.mutable_reply()->clear_task_id(); },
      "task_id is 0");
  ExpectRefused(
      CancelEnvelope(),
      [](Envelope& e) { e.mutable_cancel()->clear_task_id(); }, "task_id is 0");
}

TEST(EnvelopeCheckTest, DigestsOfAnotherSizeAreRefused) {
  for (size_t size : {size_t{0}, size_t{31}, size_t{33}}) {
    const std::string digest(size, 'd');
    ExpectRefused(
        InferEnvelope(),
        [&](Envelope& e) { e.mutable_infer()->set_bundle_sha256(digest); },
        "bundle_sha256 has a wrong size");
    ExpectRefused(
        HelloEnvelope(),
        [&](Envelope& e) {
          e.mutable_hello()->mutable_bundles(0)->set_sha256(digest);
        },
        "bundle sha256 has a wrong size");
    ExpectRefused(
        HelloEnvelope(),
        [&](Envelope& e) {
          e.mutable_hello()
              ->mutable_bundles(0)
              ->mutable_lineage()
              ->set_deployed_sha256(digest);
        },
        "lineage.deployed_sha256 has a wrong size");
  }
}

TEST(EnvelopeCheckTest, NamesAreRefusedWhenEmptyOrLong) {
  const std::string longest(kMaxNameBytes, 'n');
  Envelope fine = HelloRequestEnvelope();
  fine.mutable_hello_request()->set_frontend_id(longest);
  EXPECT_THAT(Parse(SerializeEnvelope(fine)), IsOk());

  const std::string too_long = longest + "n";
  ExpectRefused(
      HelloRequestEnvelope(),
      [&](Envelope& e) {
        e.mutable_hello_request()->set_frontend_id(too_long);
      },
      "frontend_id is too long: got 1025 bytes");
  const auto hello = [](Envelope& e) { return e.mutable_hello(); };
  const auto bundle = [](Envelope& e) {
    return e.mutable_hello()->mutable_bundles(0);
  };
  const Envelope base = HelloEnvelope();
  ExpectRefused(
      base, [&](Envelope& e) { hello(e)->clear_worker_id(); },
      "worker_id is empty");
  ExpectRefused(
      base, [&](Envelope& e) { hello(e)->set_worker_id(too_long); },
      "worker_id is too long");
  ExpectRefused(
      base, [&](Envelope& e) { hello(e)->set_fault_domain(too_long); },
      "fault_domain is too long");
  ExpectRefused(
      base, [&](Envelope& e) { bundle(e)->clear_model(); },
      "bundle model is empty");
  ExpectRefused(
      base, [&](Envelope& e) { bundle(e)->set_variant(too_long); },
      "bundle variant is too long");
  ExpectRefused(
      base, [&](Envelope& e) { bundle(e)->set_version(too_long); },
      "bundle version is too long");
  ExpectRefused(
      base, [&](Envelope& e) { bundle(e)->mutable_inputs(0)->clear_name(); },
      "tensor name is empty");
  ExpectRefused(
      InferEnvelope(),
      [&](Envelope& e) {
        e.mutable_infer()->mutable_tensors(0)->set_name(too_long);
      },
      "tensor name is too long");
}

TEST(EnvelopeCheckTest, HelloIsRefusedWithImpossibleBundles) {
  const auto bundle = [](Envelope& e) {
    return e.mutable_hello()->mutable_bundles(0);
  };
  const Envelope base = HelloEnvelope();
  for (uint32_t lanes : {uint32_t{0}, kMaxLanes + 1}) {
    ExpectRefused(
        base, [&](Envelope& e) { e.mutable_hello()->set_lanes(lanes); },
        "lanes out of range");
  }
  ExpectRefused(
      base, [&](Envelope& e) { bundle(e)->clear_role(); },
      "bundle role is unknown: got 0");
  ExpectRefused(
      base, [&](Envelope& e) { bundle(e)->set_role(static_cast<Role>(9)); },
      "bundle role is unknown: got 9");
  ExpectRefused(
      base, [&](Envelope& e) { bundle(e)->clear_inputs(); },
      "lacks inputs or outputs");
  ExpectRefused(
      base, [&](Envelope& e) { bundle(e)->clear_outputs(); },
      "lacks inputs or outputs");
  ExpectRefused(
      base, [&](Envelope& e) { bundle(e)->set_role(DEPLOYED); },
      "of role DEPLOYED has a lineage");
  ExpectRefused(
      base, [&](Envelope& e) { bundle(e)->clear_lineage(); },
      "of role PARITY lacks lineage");
  for (double cost : {-1.0, std::numeric_limits<double>::infinity(),
                      std::numeric_limits<double>::quiet_NaN()}) {
    ExpectRefused(
        base, [&](Envelope& e) { bundle(e)->set_relative_cost(cost); },
        "relative_cost is no cost");
  }
}

TEST(EnvelopeCheckTest, AccuraciesAreRefusedThatAreNoShares) {
  const auto bundle = [](Envelope& e) {
    return e.mutable_hello()->mutable_bundles(0);
  };
  const Envelope base = HelloEnvelope();
  for (const double value :
       {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
    ExpectRefused(
        base, [&](Envelope& e) { bundle(e)->set_deployed_accuracy(value); },
        "deployed_accuracy is no share");
    ExpectRefused(
        base, [&](Envelope& e) { bundle(e)->set_degraded_accuracy(0, value); },
        "degraded_accuracy is no share");
  }
  ExpectRefused(
      base,
      [&](Envelope& e) {
        for (uint32_t i = 0; i < kMaxK; ++i) {
          bundle(e)->add_degraded_accuracy(0.5);
        }
      },
      "too many accuracies: got 17, limit 16");
}

TEST(EnvelopeCheckTest, CalibrationIsRefusedWithImpossibleBins) {
  const auto bin = [](Envelope& e) {
    return e.mutable_hello()->mutable_bundles(0)->mutable_calibration(1);
  };
  const Envelope base = HelloEnvelope();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  for (const double margin : {0.0, -1.0, kInfinity, kNan}) {
    ExpectRefused(
        base, [&](Envelope& e) { bin(e)->set_margin_at_least(margin); },
        "calibration margins do not ascend");
  }
  for (const double probability : {-0.1, 1.1, kInfinity, kNan}) {
    ExpectRefused(
        base, [&](Envelope& e) { bin(e)->set_probability_right(probability); },
        "calibration of bin 1 is no probability");
  }
}

TEST(EnvelopeCheckTest, PatternsAreRefusedThatTheCodeHasNot) {
  const auto bundle = [](Envelope& e) {
    return e.mutable_hello()->mutable_bundles(0);
  };
  const auto pattern = [&](Envelope& e) {
    return bundle(e)->mutable_pattern_calibration(0);
  };
  const Envelope base = HelloEnvelope();  // k = 2, r = 2, parity 0
  for (const uint32_t losses : {0U, 3U, 0xFFFFFFFFU}) {
    ExpectRefused(
        base, [&](Envelope& e) { pattern(e)->set_losses(losses); },
        "losses of a pattern are out of range");
  }
  // None, another one's alone, one beyond r.
  for (const uint32_t parities : {0U, 2U, 5U, 0xFFFFFFFFU}) {
    ExpectRefused(
        base, [&](Envelope& e) { pattern(e)->set_parities(parities); },
        "parities of a pattern are out of range");
  }
  ExpectRefused(
      base,
      [&](Envelope& e) { *bundle(e)->add_pattern_calibration() = *pattern(e); },
      "a pattern is there twice: got 2 losses, parities of mask 3");
  ExpectRefused(
      base,
      [&](Envelope& e) {
        bundle(e)->clear_lineage();
        bundle(e)->set_role(DEPLOYED);
      },
      "losses of a pattern are out of range");
  ExpectRefused(
      base, [&](Envelope& e) { pattern(e)->add_calibration(); },
      "calibration margins do not ascend");
  ExpectRefused(
      base,
      [&](Envelope& e) {
        pattern(e)->mutable_calibration(0)->set_probability_right(1.5);
      },
      "calibration of bin 0 is no probability");
}

TEST(EnvelopeCheckTest, LineageIsRefusedWithAnImpossibleCode) {
  const auto lineage = [](Envelope& e) {
    return e.mutable_hello()->mutable_bundles(0)->mutable_lineage();
  };
  const Envelope base = HelloEnvelope();
  ExpectRefused(
      base, [&](Envelope& e) { lineage(e)->mutable_code()->clear_scheme(); },
      "code.scheme is empty");
  struct Case {
    uint32_t k;
    uint32_t r;
  };
  for (const Case code : {Case{0, 1}, {kMaxK + 1, 1}, {2, 0}, {2, kMaxR + 1}}) {
    ExpectRefused(
        base,
        [&](Envelope& e) {
          lineage(e)->mutable_code()->set_k(code.k);
          lineage(e)->mutable_code()->set_r(code.r);
        },
        "code is out of range");
  }
  ExpectRefused(
      base, [&](Envelope& e) { lineage(e)->set_parity_index(2); },
      "parity_index is out of range: got 2");
}

TEST(EnvelopeCheckTest, InferIsRefusedWithImpossibleNumbers) {
  ExpectRefused(
      InferEnvelope(), [](Envelope& e) { e.mutable_infer()->set_priority(2); },
      "priority is unknown: got 2");
  ExpectRefused(
      InferEnvelope(),
      [](Envelope& e) { e.mutable_infer()->set_remaining_budget_us(-1); },
      "remaining_budget_us is negative");
}

TEST(EnvelopeCheckTest, SpecsAreRefusedWithImpossibleShapes) {
  const auto refused = [](auto change, const std::string& message) {
    ExpectRefused(
        InferEnvelope(),
        [&](Envelope& e) { change(e.mutable_infer()->mutable_tensors(0)); },
        message);
    ExpectRefused(
        ReplyEnvelope(),
        [&](Envelope& e) { change(e.mutable_reply()->mutable_tensors(0)); },
        message);
  };
  refused([](TensorSpec* spec) { spec->clear_datatype(); }, "got 0");
  refused(
      [](TensorSpec* spec) { spec->set_datatype(static_cast<DataType>(15)); },
      "is unknown: got 15");
  refused([](TensorSpec* spec) { spec->set_shape(0, -1); },
          "negative dimension");
  refused([](TensorSpec* spec) { spec->set_shape(0, int64_t{1} << 61); },
          "too large");
  refused(
      [](TensorSpec* spec) {
        for (int i = 0; i < kMaxRank; ++i) spec->add_shape(1);
      },
      "is too high: got 18, limit 16");
  // In a Hello -1 is variable; -2 means nothing.
  ExpectRefused(
      HelloEnvelope(),
      [](Envelope& e) {
        e.mutable_hello()->mutable_bundles(0)->mutable_outputs(0)->set_shape(
            0, -2);
      },
      "negative dimension");
}

TEST(EnvelopeCheckTest, ReplyIsRefusedWhenItContradictsItself) {
  const auto reply = [](Envelope& e) { return e.mutable_reply(); };
  const Envelope base = ReplyEnvelope();
  ExpectRefused(
      base, [&](Envelope& e) { reply(e)->clear_status(); },
      "reply status is unknown: got 0");
  ExpectRefused(
      base,
      [&](Envelope& e) { reply(e)->set_status(static_cast<ReplyStatus>(5)); },
      "reply status is unknown: got 5");
  for (ReplyStatus status : {ERROR, CANCELLED, EXPIRED}) {
    ExpectRefused(
        base, [&](Envelope& e) { reply(e)->set_status(status); },
        "has tensors");
    ExpectRefused(
        ErrorReplyEnvelope(),
        [&](Envelope& e) {
          reply(e)->set_status(status);
          reply(e)->set_exit_stage(1);
        },
        "an exit reply has status");
  }
  ExpectRefused(
      base, [&](Envelope& e) { reply(e)->set_queue_us(-1); },
      "queue_us is negative");
  ExpectRefused(
      base, [&](Envelope& e) { reply(e)->set_compute_us(-1); },
      "compute_us is negative");
  Envelope envelope = ErrorReplyEnvelope();
  envelope.set_version(kVersion);
  reply(envelope)->set_error(std::string(kMaxErrorBytes + 1, 'e'));
  EXPECT_THAT(Parse(envelope.SerializeAsString()),
              Malformed("error text is too long"));
}

}  // namespace
}  // namespace parm::wire
