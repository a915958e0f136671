#pragma once

// A doubly linked list whose links live in the records themselves: constant
// time, no allocation. The core's queues and sets are made of these.

#include <cstddef>

#include "base/status_macros.h"

namespace parm::core {

template <typename T>
struct Link {
  T* previous = nullptr;
  T* next = nullptr;
  bool linked = false;
};

/// Needs: records outlive their membership and do not move while linked.
template <typename T, Link<T> T::* kLink>
class IntrusiveList {
 public:
  bool empty() const { return front_ == nullptr; }
  size_t size() const { return size_; }
  T* front() const { return front_; }
  static T* Next(const T& item) { return (item.*kLink).next; }
  static bool Contains(const T& item) { return (item.*kLink).linked; }

  void PushBack(T& item) {
    Link<T>& link = item.*kLink;
    PARM_CHECK(!link.linked);
    link = {.previous = back_, .next = nullptr, .linked = true};
    (back_ == nullptr ? front_ : (back_->*kLink).next) = &item;
    back_ = &item;
    ++size_;
  }

  void PushFront(T& item) {
    Link<T>& link = item.*kLink;
    PARM_CHECK(!link.linked);
    link = {.previous = nullptr, .next = front_, .linked = true};
    (front_ == nullptr ? back_ : (front_->*kLink).previous) = &item;
    front_ = &item;
    ++size_;
  }

  void Remove(T& item) {
    Link<T>& link = item.*kLink;
    PARM_CHECK(link.linked);
    (link.previous == nullptr ? front_ : (link.previous->*kLink).next) =
        link.next;
    (link.next == nullptr ? back_ : (link.next->*kLink).previous) =
        link.previous;
    link = {};
    --size_;
  }

  /// nullptr if empty.
  T* PopFront() {
    T* const item = front_;
    if (item != nullptr) Remove(*item);
    return item;
  }

 private:
  T* front_ = nullptr;
  T* back_ = nullptr;
  size_t size_ = 0;
};

}  // namespace parm::core
