#include "frontend/capture_writer.h"

#include <algorithm>
#include <utility>

#include "spdlog/spdlog.h"

namespace parm {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

CaptureWriter::CaptureWriter(std::vector<CaptureTarget> targets,
                             CaptureWriterOptions options)
    : targets_(std::move(targets)),
      options_(options),
      parts_(targets_.size()),
      written_(targets_.size()) {
  for (size_t i = 0; i < targets_.size(); ++i) {
    parts_[i].number = targets_[i].directory->next_part();
    written_[i].rows = targets_[i].directory->rows();
    written_[i].bytes = targets_[i].directory->bytes();
  }
  thread_ = std::thread([this] { Run(); });
}

CaptureWriter::~CaptureWriter() {
  {
    MutexLock lock(&mu_);
    closing_ = true;
  }
  wake_.Signal();
  thread_.join();
}

CapturePush CaptureWriter::Push(CapturedQuery query) {
  {
    MutexLock lock(&mu_);
    if (written_[query.target].failures > 0) return CapturePush::kFailed;
    const size_t bytes = query.data.size();
    const bool fits = waiting_.size() < options_.max_waiting_queries &&
                      bytes + waiting_bytes_ <= options_.max_waiting_bytes;
    if (!fits && !waiting_.empty()) return CapturePush::kQueueFull;
    waiting_bytes_ += bytes;
    waiting_.push_back(std::move(query));
  }
  wake_.Signal();
  return CapturePush::kTaken;
}

std::vector<CaptureWritten> CaptureWriter::written() const {
  MutexLock lock(&mu_);
  return written_;
}

void CaptureWriter::Run() {
  bool closing = false;
  while (!closing) {
    for (const CapturedQuery& query : Take(&closing)) Add(query);
    const Time now = Clock::now();
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (closing || parts_[i].write_by <= now) Write(i, &parts_[i]);
    }
  }
}

std::deque<CapturedQuery> CaptureWriter::Take(bool* closing) {
  Time write_by = kNever;
  for (const Part& part : parts_) write_by = std::min(write_by, part.write_by);
  MutexLock lock(&mu_);
  while (waiting_.empty() && !closing_) {
    if (write_by == kNever) {
      wake_.Wait(&mu_);
    } else if (!wake_.WaitUntil(&mu_, write_by)) {
      break;
    }
  }
  *closing = closing_;
  waiting_bytes_ = 0;
  return std::exchange(waiting_, {});
}

void CaptureWriter::Add(const CapturedQuery& query) {
  Part& part = parts_[query.target];
  if (part.rows > 0 &&
      (part.layout != query.layout ||
       part.rows + query.rows > options_.rows_per_part ||
       part.bytes.size() + query.data.size() > options_.bytes_per_part)) {
    Write(query.target, &part);
    StartNext(&part);
  }
  part.layout = query.layout;
  part.rows += query.rows;
  part.bytes.append(reinterpret_cast<const char*>(query.data.bytes().data()),
                    query.data.size());
  part.write_by = std::min(part.write_by, Clock::now() + options_.write_after);
}

// Replaces the part on disk by all of it.
void CaptureWriter::Write(size_t target, Part* part) {
  part->write_by = kNever;
  if (part->rows == part->rows_on_disk) return;
  const auto rows = static_cast<uint64_t>(part->rows - part->rows_on_disk);
  const uint64_t bytes = part->bytes.size() - part->bytes_on_disk;
  {
    MutexLock lock(&mu_);
    // Queries that were waiting when an earlier write failed.
    if (written_[target].failures > 0) {
      written_[target].rows_lost += rows;
      StartNext(part);
      return;
    }
  }
  const absl::Status status = targets_[target].directory->WritePart(
      part->number, part->layout, part->rows, part->bytes);
  if (!status.ok()) {
    spdlog::error("capture of model '{}' ends, queries are served on: {}",
                  targets_[target].name, std::string(status.message()));
    {
      MutexLock lock(&mu_);
      ++written_[target].failures;
      written_[target].rows_lost += rows;
    }
    StartNext(part);
    return;
  }
  part->rows_on_disk = part->rows;
  part->bytes_on_disk = part->bytes.size();
  MutexLock lock(&mu_);
  written_[target].rows += rows;
  written_[target].bytes += bytes;
}

void CaptureWriter::StartNext(Part* part) {
  *part = Part{.number = part->number + 1};
}

}  // namespace parm
