#pragma once

// Every query of a run: that it gets exactly one answer unless its client left,
// by its deadline, from an output that holds its own rows, of a kind that its
// mode allows.

#include <array>
#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "experiments/sim/buffer_book.h"
#include "experiments/sim/violations.h"
#include "frontend/core/action.h"
#include "frontend/core/core_counters.h"
#include "frontend/core/core_options.h"
#include "frontend/core/event.h"

namespace parm::sim {

struct SimQuery {
  enum class State : uint8_t { kOpen, kAnswered, kAbandoned };
  State state = State::kOpen;
  core::AnswerMode mode{};
  bool dispatched = false;
  ModelId model{};
  uint32_t samples = 1;
  uint32_t first_row = 0;
  Content value = 0;
  Content batch = 0;  // of the batch that it was dispatched in
  // Workers that were sent a copy: the first so many.
  std::array<WorkerId, 4> tried{};
  uint8_t num_tried = 0;
  Time deadline{};
};

class QueryBook {
 public:
  QueryBook(const std::vector<core::ModelOptions>& models,
            Violations& violations)
      : models_(models), violations_(violations) {}

  QueryId Add(SimQuery query);
  void Abandon(QueryId id);
  /// It travels in the batch of this content, from this row on.
  void Dispatched(QueryId id, uint32_t first_row, Content batch,
                  const core::DispatchTask& task);
  void Answered(const core::AnswerQuery& answer, Time now, BufferBook& buffers);
  void CheckAllEnded();
  /// The frontend stood still until then: answers due earlier come late.
  void set_awake_since(Time time) { awake_since_ = time; }

  uint64_t size() const { return queries_.size(); }
  uint64_t num_answered() const { return num_answered_; }
  uint64_t num_abandoned() const { return num_abandoned_; }
  const std::array<uint64_t, core::kNumSources>& by_source() const {
    return by_source_;
  }

 private:
  SimQuery* Find(QueryId id);
  void CheckOutput(const core::AnswerQuery& answer, const SimQuery& query,
                   BufferBook& buffers);

  const std::vector<core::ModelOptions>& models_;
  Violations& violations_;
  std::vector<SimQuery> queries_;  // by id - 1
  Time awake_since_{};
  uint64_t num_answered_ = 0;
  uint64_t num_abandoned_ = 0;
  std::array<uint64_t, core::kNumSources> by_source_{};
};

}  // namespace parm::sim
