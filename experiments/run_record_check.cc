// The checker of run records: a table of fields and the rules between them.

#include <array>
#include <initializer_list>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "experiments/run_record.h"
#include "proto/atomic_file.h"
#include "simdjson.h"

namespace parm {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

enum class Kind {
  kText,
  kTextOrNull,
  kSeed,           // any 64 bits
  kInteger,        // >= 0
  kIntegerOrNull,  // >= 0
  kFigure,         // a number >= 0, or null
  kShare,          // a number in [0, 1], or null
  kObject,
  kObjectOrNull,
  kArray,
};

struct Field {
  absl::string_view name;
  Kind kind;
  /// Records of earlier programs are without it.
  bool may_lack = false;
};

constexpr int64_t kMaxRecordBytes = int64_t{1} << 30;

constexpr std::array kDocumentFields = {
    Field{"name", Kind::kText},    Field{"commit", Kind::kText},
    Field{"machine", Kind::kText}, Field{"seed", Kind::kSeed},
    Field{"started", Kind::kText}, Field{"config", Kind::kObject},
    Field{"runs", Kind::kArray},
};

constexpr std::array kRunFields = {
    Field{"policy", Kind::kText},
    Field{"code", Kind::kObjectOrNull},
    Field{"scenario", Kind::kText},
    Field{"load", Kind::kFigure},
    Field{"workers", Kind::kIntegerOrNull},
    Field{"repeat", Kind::kInteger},
    Field{"offered_qps", Kind::kFigure},
    Field{"achieved_qps", Kind::kFigure},
    Field{"queries", Kind::kInteger},
    Field{"answers", Kind::kObject},
    Field{"late_share", Kind::kShare},
    Field{"shed", Kind::kIntegerOrNull},
    Field{"latency_ms", Kind::kObject},
    Field{"latency_from_send_ms", Kind::kObject},
    Field{"tail_mass", Kind::kObject, /*may_lack=*/true},
    Field{"send_lag_ms", Kind::kObject},
    Field{"accuracy", Kind::kObject},
    Field{"extra_jobs_per_query", Kind::kFigure},
    Field{"extra_service_per_query", Kind::kFigure},
    Field{"wasted_service_per_query", Kind::kFigure, /*may_lack=*/true},
    Field{"cpu_us_per_query", Kind::kFigure},
    Field{"rss_mb", Kind::kFigure},
    Field{"refused", Kind::kTextOrNull},
};

constexpr std::array kCodeFields = {
    Field{"scheme", Kind::kText},
    Field{"k", Kind::kInteger},
    Field{"r", Kind::kInteger},
};

constexpr std::array kAnswerFields = {
    Field{"exact", Kind::kInteger},         Field{"hedged", Kind::kInteger},
    Field{"reconstructed", Kind::kInteger}, Field{"exit", Kind::kInteger},
    Field{"backup", Kind::kInteger},        Field{"default", Kind::kInteger},
    Field{"error", Kind::kInteger},         Field{"lost", Kind::kInteger},
};

constexpr std::array kLatencyFields = {
    Field{"p50", Kind::kFigure},        Field{"p90", Kind::kFigure},
    Field{"p99", Kind::kFigure},        Field{"p99_9", Kind::kFigure},
    Field{"p99_9_low", Kind::kFigure},  Field{"max", Kind::kFigure},
    Field{"p99_9_high", Kind::kFigure},
};

constexpr std::array kTailMassFields = {
    Field{"over_2_service", Kind::kShare},
    Field{"over_3_service", Kind::kShare},
    Field{"over_5_service", Kind::kShare},
};

constexpr std::array kSendLagFields = {
    Field{"p50", Kind::kFigure},           Field{"p99", Kind::kFigure},
    Field{"p99_9", Kind::kFigure},         Field{"max", Kind::kFigure},
    Field{"over_1ms_share", Kind::kShare},
};

constexpr std::array kAccuracyFields = {
    Field{"deployed", Kind::kShare},
    Field{"delivered", Kind::kShare},
    Field{"exact", Kind::kShare},
    Field{"reconstructed", Kind::kShare},
};

bool HasKind(const element& value, Kind kind) {
  const bool null = value.is_null();
  int64_t integer = -1;
  const bool is_integer = value.get(integer) == simdjson::SUCCESS;
  double number = -1;
  const bool is_number = value.get(number) == simdjson::SUCCESS;
  switch (kind) {
    case Kind::kText:
      return value.is_string();
    case Kind::kTextOrNull:
      return null || value.is_string();
    case Kind::kSeed:
      return value.is_uint64();
    case Kind::kInteger:
      return is_integer && integer >= 0;
    case Kind::kIntegerOrNull:
      return null || (is_integer && integer >= 0);
    case Kind::kFigure:
      return null || (is_number && number >= 0);
    case Kind::kShare:
      return null || (is_number && number >= 0 && number <= 1);
    case Kind::kObject:
      return value.is_object();
    case Kind::kObjectOrNull:
      return null || value.is_object();
    case Kind::kArray:
      return value.is_array();
  }
  return false;
}

absl::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kText:
      return "text";
    case Kind::kTextOrNull:
      return "text or null";
    case Kind::kSeed:
    case Kind::kInteger:
      return "an integer >= 0";
    case Kind::kIntegerOrNull:
      return "an integer >= 0 or null";
    case Kind::kFigure:
      return "a number >= 0 or null";
    case Kind::kShare:
      return "a fraction or null";
    case Kind::kObject:
      return "an object";
    case Kind::kObjectOrNull:
      return "an object or null";
    case Kind::kArray:
      return "an array";
  }
  return "";
}

/// `where` is "" for the document and "runs[2].answers." for what is inside.
template <size_t kSize>
absl::Status CheckFields(const object& value, const std::string& where,
                         const std::array<Field, kSize>& fields) {
  for (const Field& field : fields) {
    element found;
    if (value.at_key({field.name.data(), field.name.size()}).get(found) !=
        simdjson::SUCCESS) {
      if (field.may_lack) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("key is missing: ", where, field.name));
    }
    if (!HasKind(found, field.kind)) {
      return absl::InvalidArgumentError(
          absl::StrCat("value has the wrong type or range: ", where, field.name,
                       " wants ", KindName(field.kind)));
    }
  }
  for (const auto& [key, unused] : value) {
    const absl::string_view name(key.data(), key.size());
    bool known = false;
    for (const Field& field : fields) known = known || field.name == name;
    if (!known) {
      return absl::InvalidArgumentError(
          absl::StrCat("key is unknown: ", where, name));
    }
  }
  return absl::OkStatus();
}

/// Needs: `value` has passed CheckFields.
object Inside(const object& value, const char* key) {
  object inside;
  const auto error = value.at_key(key).get(inside);
  PARM_CHECK(error == simdjson::SUCCESS);
  return inside;
}

int64_t Integer(const object& value, absl::string_view key) {
  int64_t number = 0;
  const auto error = value.at_key({key.data(), key.size()}).get(number);
  PARM_CHECK(error == simdjson::SUCCESS);
  return number;
}

absl::Status CheckAscending(const object& latency, const std::string& where,
                            std::initializer_list<const char*> names) {
  double previous = 0;
  for (const char* name : names) {
    double value = 0;
    if (latency.at_key(name).get(value) != simdjson::SUCCESS) continue;
    if (value < previous) {
      return absl::InvalidArgumentError(
          absl::StrCat("quantiles are out of order: ", where, name, " is ",
                       value, ", below ", previous));
    }
    previous = value;
  }
  return absl::OkStatus();
}

absl::Status CheckRun(const object& run, const std::string& where) {
  PARM_RETURN_IF_ERROR(CheckFields(run, where, kRunFields));
  object code;
  if (run.at_key("code").get(code) == simdjson::SUCCESS) {
    PARM_RETURN_IF_ERROR(CheckFields(code, where + "code.", kCodeFields));
  }
  for (const char* name : {"latency_ms", "latency_from_send_ms"}) {
    const object latency = Inside(run, name);
    const std::string place = absl::StrCat(where, name, ".");
    PARM_RETURN_IF_ERROR(CheckFields(latency, place, kLatencyFields));
    PARM_RETURN_IF_ERROR(CheckAscending(
        latency, place, {"p50", "p90", "p99", "p99_9", "p99_9_high", "max"}));
    PARM_RETURN_IF_ERROR(
        CheckAscending(latency, place, {"p99_9_low", "p99_9"}));
  }
  object tail_mass;
  if (run.at_key("tail_mass").get(tail_mass) == simdjson::SUCCESS) {
    PARM_RETURN_IF_ERROR(
        CheckFields(tail_mass, where + "tail_mass.", kTailMassFields));
  }
  PARM_RETURN_IF_ERROR(CheckFields(Inside(run, "send_lag_ms"),
                                   where + "send_lag_ms.", kSendLagFields));
  PARM_RETURN_IF_ERROR(CheckFields(Inside(run, "accuracy"), where + "accuracy.",
                                   kAccuracyFields));
  const object answers = Inside(run, "answers");
  PARM_RETURN_IF_ERROR(CheckFields(answers, where + "answers.", kAnswerFields));
  int64_t sum = 0;
  for (const Field& field : kAnswerFields) sum += Integer(answers, field.name);
  const int64_t queries = Integer(run, "queries");
  if (sum != queries) {
    return absl::InvalidArgumentError(
        absl::StrCat("answers do not add up: ", where, "answers sum to ", sum,
                     ", queries are ", queries));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckRunRecord(absl::string_view json) {
  simdjson::dom::parser parser;
  element document;
  object fields;
  if (parser.parse(json.data(), json.size()).get(document) !=
          simdjson::SUCCESS ||
      document.get(fields) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("run record is not a JSON object");
  }
  PARM_RETURN_IF_ERROR(CheckFields(fields, "", kDocumentFields));
  simdjson::dom::array runs;
  if (fields.at_key("runs").get(runs) != simdjson::SUCCESS) {
    return absl::InternalError("runs was an array a moment ago");
  }
  int index = 0;
  for (const element& run : runs) {
    const std::string where = absl::StrCat("runs[", index++, "].");
    object run_fields;
    if (run.get(run_fields) != simdjson::SUCCESS) {
      return absl::InvalidArgumentError(
          absl::StrCat("run is not an object: ", where));
    }
    PARM_RETURN_IF_ERROR(CheckRun(run_fields, where));
  }
  return absl::OkStatus();
}

absl::Status CheckRunRecordFile(const std::string& path) {
  PARM_ASSIGN_OR_RETURN(const std::string text,
                        ReadWholeFile(path, kMaxRecordBytes));
  return CheckRunRecord(text);
}

}  // namespace parm
