#include "parity_trainer/learning_curve.h"

#include "base/json_writer.h"
#include "parity_trainer/panel_picture.h"

namespace parm {

std::string ToJsonLines(absl::Span<const EpochRecord> history) {
  std::string text;
  for (const EpochRecord& record : history) {
    JsonWriter json(&text);
    json.BeginObject();
    json.Key("epoch").Int(record.epoch);
    json.Key("step").Int(record.step);
    json.Key("loss").Double(record.loss);
    json.Key("held_out_accuracy");
    if (record.held_out_accuracy) {
      json.Double(*record.held_out_accuracy);
    } else {
      json.Null();
    }
    json.Key("learning_rate").Double(record.learning_rate);
    json.Key("seconds").Double(record.seconds);
    json.EndObject();
    text.push_back('\n');
  }
  return text;
}

std::string DrawLearningCurve(absl::Span<const EpochRecord> history) {
  Curve loss = {.label = "training"};
  Curve accuracy = {.label = "held out"};
  for (const EpochRecord& record : history) {
    const auto epoch = static_cast<double>(record.epoch);
    loss.points.push_back({epoch, record.loss});
    if (record.held_out_accuracy) {
      accuracy.points.push_back({epoch, 100 * *record.held_out_accuracy});
    }
  }
  const Panel panels[] = {
      {.x_label = "epoch", .y_label = "loss", .curves = {loss}},
      {.x_label = "epoch", .y_label = "accuracy, %", .curves = {accuracy}}};
  return DrawPanels(panels);
}

}  // namespace parm
