#pragma once

// Whether a model's reconstructions may answer, by what late originals say of
// them: how often they had the decode's class. Where that falls below a floor
// (a parity model gone stale, inputs that have drifted) the gate closes; the
// core goes on decoding and comparing, so that it opens again by itself.

#include <cstdint>
#include <optional>

namespace parm::core {

/// Old samples lose their weight as new ones come: the estimate is over some
/// kMemory samples. Its standard error at 0.9 is 0.01.
class AgreementGate {
 public:
  /// Fewer samples say nothing.
  static constexpr double kMinSamples = 100;
  static constexpr double kMemory = 500;
  /// The gate opens again this much above the floor, or half way to 1.
  static constexpr double kHysteresis = 0.02;

  /// nullopt: it never closes.
  explicit AgreementGate(std::optional<double> min_agreement)
      : min_agreement_(min_agreement) {}

  enum class Change : uint8_t { kNone, kClosed, kOpened };

  /// Of `compared` samples, `agreed` had the same class.
  Change Add(uint32_t compared, uint32_t agreed);

  bool closed() const { return closed_; }

  /// Share of samples that agreed; nullopt while too few were seen.
  std::optional<double> agreement() const;

 private:
  std::optional<double> min_agreement_;
  bool closed_ = false;
  double samples_ = 0;  // with their weight
  double agreed_ = 0;
};

}  // namespace parm::core
