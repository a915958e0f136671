#pragma once

// The thread that writes captured queries down, so that no disk holds up the
// frontend loop: the loop pushes references to inputs into a bounded queue, the
// thread fills part files with them.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "base/mutex.h"
#include "base/time.h"
#include "frontend/capture_directory.h"

namespace parm {

/// The input of one query.
struct CapturedQuery {
  size_t target = 0;
  SampleLayout layout;
  int64_t rows = 0;
  Buffer data;  // as many bytes as layout and rows say
};

/// Where the queries of one model go.
struct CaptureTarget {
  std::string name;  // of the model, for the log
  std::unique_ptr<CaptureDirectory> directory;
};

struct CaptureWriterOptions {
  /// What may wait; a query that is larger goes in alone.
  size_t max_waiting_queries = 256;
  size_t max_waiting_bytes = size_t{64} << 20;
  /// A part is closed when the next query would go beyond either.
  int64_t rows_per_part = 1024;
  size_t bytes_per_part = size_t{16} << 20;
  /// After so long at most, what was taken is on disk.
  Duration write_after = Milliseconds(10'000);
};

/// Of one target.
struct CaptureWritten {
  uint64_t rows = 0;       // on disk, those of earlier runs included
  uint64_t bytes = 0;      // of their tensors
  uint64_t failures = 0;   // 1: a write failed, and nothing is taken since
  uint64_t rows_lost = 0;  // taken, but not written because of that
};

enum class CapturePush : uint8_t { kTaken, kQueueFull, kFailed };

/// Threads: Push and written() from any; what it writes to is its own thread's.
class CaptureWriter {
 public:
  CaptureWriter(std::vector<CaptureTarget> targets,
                CaptureWriterOptions options);
  /// Writes down what waits; this may take as long as the disk takes.
  ~CaptureWriter();
  CaptureWriter(const CaptureWriter&) = delete;
  CaptureWriter& operator=(const CaptureWriter&) = delete;

  /// Never waits for the disk. kQueueFull, kFailed: the query is dropped.
  CapturePush Push(CapturedQuery query) ABSL_LOCKS_EXCLUDED(mu_);

  /// By target.
  std::vector<CaptureWritten> written() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // A part that is being filled: all of it, written or not.
  struct Part {
    uint32_t number = 0;
    SampleLayout layout;
    int64_t rows = 0;
    std::string bytes;
    int64_t rows_on_disk = 0;
    size_t bytes_on_disk = 0;
    Time write_by = kNever;
  };

  void Run();
  // Waits for queries, until a part is to be written, or for the end.
  std::deque<CapturedQuery> Take(bool* closing) ABSL_LOCKS_EXCLUDED(mu_);
  void Add(const CapturedQuery& query);
  void Write(size_t target, Part* part);
  void StartNext(Part* part);

  // Constant after construction.
  const std::vector<CaptureTarget> targets_;
  const CaptureWriterOptions options_;

  std::vector<Part> parts_;  // the thread's; by target

  mutable Mutex mu_;  // Guards what follows.
  CondVar wake_;
  std::deque<CapturedQuery> waiting_ ABSL_GUARDED_BY(mu_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<CaptureWritten> written_ ABSL_GUARDED_BY(mu_);

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace parm
