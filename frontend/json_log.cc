#include "frontend/json_log.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "base/json_writer.h"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

// The message as a JSON string, quotes included: client and worker texts end up
// in it, and must not break out of the line.
class JsonMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    std::string text;
    JsonWriter(&text).String({message.payload.data(), message.payload.size()});
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JsonMessage>();
  }
};

}  // namespace

absl::Status StartLogging(const std::string& format, const std::string& level) {
  if (format != "text" && format != "json") {
    return absl::InvalidArgumentError(
        absl::StrCat("log format: got \"", format, "\", want text or json"));
  }
  try {
    spdlog::drop("parm-frontend");
    const auto logger = spdlog::stderr_color_mt("parm-frontend");
    if (format == "json") {
      auto formatter = std::make_unique<spdlog::pattern_formatter>();
      formatter->add_flag<JsonMessage>('*').set_pattern(
          R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",)"
          R"("logger":"%n","message":%*})");
      logger->set_formatter(std::move(formatter));
    }
    spdlog::set_default_logger(logger);
    spdlog::set_level(spdlog::level::from_str(level));
  } catch (const spdlog::spdlog_ex& error) {
    return absl::InternalError(absl::StrCat("cannot log: ", error.what()));
  }
  return absl::OkStatus();
}

}  // namespace parm
