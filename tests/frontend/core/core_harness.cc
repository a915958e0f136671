#include "tests/frontend/core/core_harness.h"

#include <algorithm>
#include <utility>

#include "gtest/gtest.h"

namespace parm::core {

CoreHarness::CoreHarness(CoreOptions options)
    : options_(options),
      core_(FrontendCore::Create(std::move(options)).value()) {}

CoreHarness::CoreHarness(CoreOptions options,
                         const CoreEngine::PolicyFactory& policy)
    : options_(options),
      core_(std::make_unique<CoreEngine>(std::move(options), policy)) {}

void CoreHarness::Up(uint32_t worker, UpOptions up) {
  std::vector<ServedBundle> bundles;
  if (up.deployed) {
    bundles.push_back({kDeployed, kModel, BundleRole::kDeployed, kDeployed});
  }
  if (up.parity) {
    bundles.push_back({kParity, kModel, BundleRole::kParity, kDeployed});
  }
  if (up.backup) {
    bundles.push_back({kParity, kModel, BundleRole::kBackup, kDeployed});
  }
  Handle(WorkerUp{.worker = WorkerId{worker},
                  .nonce = up.nonce,
                  .fault_domain = up.domain,
                  .lanes = up.lanes,
                  .max_in_flight = up.max_in_flight,
                  .bundles = bundles});
}

QueryId CoreHarness::Arrive(QueryOptions query) {
  const QueryId id{++last_query_};
  const BufferId input = NewBuffer();
  inputs_[id] = input;
  Handle(QueryArrived{.query = id,
                      .model = kModel,
                      .deployed = kDeployed,
                      .signature = query.signature,
                      .samples = query.samples,
                      .bytes = query.bytes,
                      .input = input,
                      .deadline = now_ + query.deadline,
                      .mode = query.mode,
                      .further_attempt = query.further_attempt,
                      .unit = query.unit});
  return id;
}

BufferId CoreHarness::Reply(const Sent& sent, Duration compute) {
  const BufferId output = NewBuffer();
  Handle(TaskReplied{.task = sent.task.task,
                     .worker = sent.task.worker,
                     .status = TaskStatus::kOk,
                     .output = output,
                     .compute = compute});
  return output;
}

BufferId CoreHarness::ReplyUndecodable(const Sent& sent) {
  const BufferId output = NewBuffer();
  Handle(TaskReplied{.task = sent.task.task,
                     .worker = sent.task.worker,
                     .status = TaskStatus::kOk,
                     .output = output,
                     .decodable = false});
  return output;
}

void CoreHarness::Fail(const Sent& sent, TaskStatus status, bool retryable) {
  Handle(TaskReplied{.task = sent.task.task,
                     .worker = sent.task.worker,
                     .status = status,
                     .retryable = retryable});
}

BufferId CoreHarness::Encoded(const Encode& encode, uint64_t bytes) {
  const BufferId parity = NewBuffer();
  Handle(ParityEncoded{.group = encode.action.group,
                       .parity_index = encode.action.parity_index,
                       .ok = true,
                       .parity = parity,
                       .bytes = bytes});
  return parity;
}

BufferId CoreHarness::Decoded(const Decode& decode,
                              std::optional<float> confidence,
                              double noise_gain) {
  const BufferId output = NewBuffer();
  Handle(MemberDecoded{.group = decode.action.group,
                       .member = decode.action.member,
                       .ok = true,
                       .output = output,
                       .noise_gain = noise_gain,
                       .confidence = confidence});
  return output;
}

void CoreHarness::Advance(Duration span) {
  const Time end = now_ + span;
  for (;;) {
    const Time next = std::min(out.wake.value_or(kNever), next_heartbeat_);
    if (next > end) break;
    now_ = std::max(now_, next);
    if (next == next_heartbeat_) {
      next_heartbeat_ += Milliseconds(100);
      for (const uint32_t worker : heard) {
        Handle(WorkerHeard{.worker = WorkerId{worker}});
      }
    } else {
      out.wake.reset();
      Handle(TimerFired{});
    }
  }
  now_ = end;
}

void CoreHarness::Jump(Duration span) {
  now_ += span;
  next_heartbeat_ = std::max(next_heartbeat_, now_);
  out.wake.reset();
  Handle(TimerFired{});
}

bool CoreHarness::Released(BufferId buffer) const {
  return std::find(out.released.begin(), out.released.end(), buffer) !=
         out.released.end();
}

void CoreHarness::ExpectEmpty() {
  EXPECT_EQ(out.released.size(), last_buffer_);
  std::vector<BufferId> sorted = out.released;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(std::unique(sorted.begin(), sorted.end()), sorted.end());
  const CoreSizes sizes = core_->sizes();
  EXPECT_EQ(sizes.queries, 0U);
  EXPECT_EQ(sizes.batches, 0U);
  EXPECT_EQ(sizes.tasks, 0U);
  EXPECT_EQ(sizes.groups, 0U);
  EXPECT_EQ(sizes.open_groups, 0U);
  EXPECT_EQ(sizes.timers, 0U);
  EXPECT_EQ(sizes.buffered_bytes, 0U);
}

}  // namespace parm::core
