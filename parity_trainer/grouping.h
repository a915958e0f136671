#pragma once

// How a test set is put into coding groups. Which samples share a group is
// chance, for a served query as for a test sample, and moves the accuracy of
// reconstructions by some tenths of a point: so a set is put into groups
// several times.

#include <cstdint>
#include <vector>

namespace parm {

/// In how many ways to put a set into groups: 8, fewer for sets that are large
/// enough without. Needs: num_samples > 0.
int NumGroupings(int64_t num_samples);

/// One of the ways to put samples into groups of k. Number 0 is the set's own
/// order. Every other one deals samples out again at random, but
///  - those of even groups to even groups, those of odd ones to odd ones: what
///    is fitted on the ones and judged on the others never shares a sample;
///  - within blocks of neighbouring groups, the same in every grouping: what is
///    found in one block says nothing of another.
/// Where there are fewer than 16 groups a part may be a single group, which
/// stays as it is, and what fills up the last one may be of another block.
/// Samples that are neighbours meet: a set in the order of its classes gives
/// groups of one class.
class Grouping {
 public:
  /// Needs: num_samples >= k > 0; number >= 0.
  Grouping(int64_t num_samples, int64_t k, int number);

  /// The last one is filled up with members of the last but two, which is of
  /// the same half, when the size is no multiple of k; where there is none, of
  /// the first.
  int64_t num_groups() const { return num_groups_; }
  /// 4 to 50, of 16 groups or more where there are as many; at most
  /// num_groups().
  int64_t num_blocks() const { return num_blocks_; }
  /// Needs: 0 <= group < num_groups().
  int64_t BlockOf(int64_t group) const;
  /// Needs: 0 <= group < num_groups(), 0 <= slot < k.
  int64_t SampleAt(int64_t group, int64_t slot) const;
  /// Whether that sample only fills up the group: it has its place in another.
  bool IsFiller(int64_t group, int64_t slot) const;
  /// That no group of another grouping has, even where `group` is.
  int64_t IdOf(int64_t group) const;

 private:
  int64_t k_;
  int64_t num_groups_;
  int64_t num_blocks_;
  int64_t first_id_;
  std::vector<int64_t> samples_;  // by place
};

}  // namespace parm
