// The table of schemes behind Supports, CreateCode and CodeSchemes of code.h.

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "encoder/code.h"
#include "encoder/concat_code.h"
#include "encoder/pack_code.h"
#include "encoder/scheme.h"
#include "encoder/stack_code.h"
#include "encoder/sum_code.h"
#include "encoder/tile_code.h"
#include "encoder/weighted_code.h"

namespace parm {
namespace {

// The order of CodeSchemes().
constexpr const CodeScheme* kSchemes[] = {&kSumScheme,    &kWeightedScheme,
                                          &kConcatScheme, &kTileScheme,
                                          &kStackScheme,  &kPackScheme};

const CodeScheme* FindScheme(absl::string_view name) {
  for (const CodeScheme* scheme : kSchemes) {
    if (scheme->name == name) return scheme;
  }
  return nullptr;
}

}  // namespace

std::string ToString(const CodeSpec& spec) {
  return absl::StrCat(spec.scheme, " k=", spec.k, " r=", spec.r);
}

bool Supports(const CodeSpec& spec) {
  const CodeScheme* scheme = FindScheme(spec.scheme);
  return scheme != nullptr && scheme->supports(spec.k, spec.r);
}

absl::StatusOr<std::unique_ptr<const Code>> CreateCode(const CodeSpec& spec) {
  const CodeScheme* scheme = FindScheme(spec.scheme);
  if (scheme == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown code scheme: got \"", spec.scheme,
                     "\", want one of ", absl::StrJoin(CodeSchemes(), ", ")));
  }
  if (!scheme->supports(spec.k, spec.r)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a code scheme does not take these k and r: got ",
                     ToString(spec), ", want ", scheme->takes));
  }
  return scheme->create(spec);
}

std::vector<std::string> CodeSchemes() {
  std::vector<std::string> names;
  for (const CodeScheme* scheme : kSchemes) names.emplace_back(scheme->name);
  return names;
}

}  // namespace parm
