#include "proto/yaml_tree.h"

#include <exception>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/yaml.h"

namespace parm {
namespace {

// Builds the tree from yaml-cpp's events: its own Node resolves aliases before
// anybody can refuse them, and forgets where a key stood.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(absl::string_view file) : file_(file) {}

  YamlNode& root() { return root_; }
  const absl::Status& status() const { return status_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (has_document_) Fail(mark, "expected one document, got another");
    has_document_ = true;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    Add(mark, YamlNode::Kind::kNothing);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Fail(mark, "aliases are not supported");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    YamlNode* node = Add(mark, YamlNode::Kind::kScalar);
    if (node == nullptr) return;
    // yaml-cpp's tags of its own: "?" for plain text, "!" for quoted text.
    if (tag != "?" && tag != "!") return Fail(mark, "tags are not supported");
    node->quoted = tag == "!";
    node->text = value;
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag,
                       YAML::anchor_t, YAML::EmitterStyle::value) override {
    Open(mark, tag, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag,
                  YAML::anchor_t, YAML::EmitterStyle::value) override {
    Open(mark, tag, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

  void Fail(const YAML::Mark& mark, absl::string_view what) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(
        absl::StrCat(file_, ":", mark.line + 1, ": ", what));
  }

 private:
  // nullptr once something has failed: later events are ignored.
  YamlNode* Add(const YAML::Mark& mark, YamlNode::Kind kind) {
    if (!status_.ok()) return nullptr;
    YamlNode* node = &root_;
    if (!open_.empty()) {
      YamlNode& parent = *open_.back();
      const bool is_key = parent.kind == YamlNode::Kind::kMap &&
                          parent.children.size() % 2 == 0;
      if (is_key && kind != YamlNode::Kind::kScalar) {
        Fail(mark, "a key must be text");
        return nullptr;
      }
      node = &parent.children.emplace_back();
    }
    node->kind = kind;
    node->line = mark.line + 1;
    // The mark of a value that is not there is that of whatever follows.
    if (kind == YamlNode::Kind::kNothing && !open_.empty() &&
        open_.back()->kind == YamlNode::Kind::kMap) {
      node->line = (node - 1)->line;
    }
    return node;
  }

  // The parents of an open node do not change until it is closed, so pointers
  // into their vectors stay valid.
  void Open(const YAML::Mark& mark, const std::string& tag,
            YamlNode::Kind kind) {
    YamlNode* node = Add(mark, kind);
    if (node == nullptr) return;
    if (tag != "?" && !tag.empty()) return Fail(mark, "tags are not supported");
    if (open_.size() == kMaxYamlDepth) {
      return Fail(mark, absl::StrCat("nested deeper than ", kMaxYamlDepth));
    }
    open_.push_back(node);
  }

  void Close() {
    if (status_.ok()) open_.pop_back();
  }

  const absl::string_view file_;
  absl::Status status_;
  bool has_document_ = false;
  YamlNode root_;
  std::vector<YamlNode*> open_;
};

}  // namespace

absl::StatusOr<YamlNode> ParseYamlTree(absl::string_view yaml,
                                       absl::string_view file) {
  if (yaml.size() > kMaxYamlBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ":1: too large: got ", yaml.size(), " bytes, limit ",
                     kMaxYamlBytes));
  }
  TreeBuilder builder(file);
  try {
    std::istringstream stream{std::string(yaml)};
    YAML::Parser parser(stream);
    // The second time only to see that there is no second one.
    if (parser.HandleNextDocument(builder) && builder.status().ok()) {
      parser.HandleNextDocument(builder);
    }
  } catch (const YAML::Exception& error) {
    builder.Fail(error.mark, absl::StrCat("broken YAML: ", error.msg));
  } catch (const std::exception& error) {
    builder.Fail(YAML::Mark(), absl::StrCat("broken YAML: ", error.what()));
  }
  if (!builder.status().ok()) return builder.status();
  YamlNode root = std::move(builder.root());
  if (root.kind == YamlNode::Kind::kNothing) root.kind = YamlNode::Kind::kMap;
  return root;
}

std::string Describe(const YamlNode& node) {
  constexpr size_t kMaxShown = 40;
  switch (node.kind) {
    case YamlNode::Kind::kNothing:
      return "nothing";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
    case YamlNode::Kind::kScalar:
      break;
  }
  const bool cut = node.text.size() > kMaxShown;
  return absl::StrCat("\"", node.text.substr(0, kMaxShown), cut ? "..." : "",
                      "\"");
}

}  // namespace parm
