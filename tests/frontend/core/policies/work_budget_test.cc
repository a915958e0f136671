#include "frontend/core/policies/work_budget.h"

#include <optional>

#include "gtest/gtest.h"

namespace parm::core {
namespace {

constexpr Duration kService = Milliseconds(20);

struct Account {
  explicit Account(const BudgetOptions& options) : budget(options) {}
  // How many copies of this length are paid for until one is refused.
  int Spend(Duration service = kService, int at_most = 1000) {
    int paid = 0;
    for (; paid < at_most && budget.CanCharge(now, service); ++paid) {
      budget.Charge(service);
    }
    return paid;
  }
  void Dispatch(int count, Duration service = kService) {
    for (int i = 0; i < count; ++i) budget.Earn(service, service);
  }
  WorkBudget budget;
  Time now = Time{} + Milliseconds(1000);
};

TEST(WorkBudgetTest, ShareOfTheWorkIsAllowed) {
  Account account({.max_extra_load = 0.05, .min_per_second = 0, .burst = 1000});
  EXPECT_EQ(account.Spend(), 0) << "nothing was earned";
  account.Dispatch(1000);
  EXPECT_NEAR(account.Spend(), 50, 1);
}

TEST(WorkBudgetTest, WorkIsServiceTimeAndNotJobs) {
  Account account({.max_extra_load = 0.1, .min_per_second = 0, .burst = 1000});
  account.Dispatch(100, kService);
  EXPECT_NEAR(account.Spend(4 * kService), 2, 1)
      << "a copy four times as long costs four";
}

TEST(WorkBudgetTest, IdleTimeSavesUpNoMoreThanABurst) {
  Account account({.max_extra_load = 0.5, .min_per_second = 0, .burst = 3});
  account.Dispatch(1000);
  EXPECT_EQ(account.Spend(), 3);
}

TEST(WorkBudgetTest, FloorAllowsCopiesOfRareQueries) {
  Account account({.max_extra_load = 0, .min_per_second = 2, .burst = 10});
  EXPECT_EQ(account.Spend(), 2);
  account.now += Milliseconds(499);
  EXPECT_EQ(account.Spend(), 0);
  account.now += Milliseconds(2);
  EXPECT_EQ(account.Spend(), 1);
}

TEST(WorkBudgetTest, SlowFloorStillAllowsWholeCopies) {
  Account account({.max_extra_load = 0, .min_per_second = 0.1, .burst = 10});
  EXPECT_EQ(account.Spend(), 1);
  account.now += Milliseconds(10'001);
  EXPECT_EQ(account.Spend(), 1);
}

TEST(WorkBudgetTest, ClockJumpBringsOneSecondsWorth) {
  Account account({.max_extra_load = 0, .min_per_second = 5, .burst = 10});
  account.Spend();
  account.now += Milliseconds(10'000);
  EXPECT_EQ(account.Spend(), 5);
}

TEST(WorkBudgetTest, ShareIsSpentBeforeTheFloor) {
  Account account({.max_extra_load = 0.5, .min_per_second = 1, .burst = 10});
  account.Dispatch(4);
  EXPECT_EQ(account.Spend(), 3) << "two of the share, one of the floor";
  account.Dispatch(2);
  EXPECT_EQ(account.Spend(), 1);
}

TEST(WorkBudgetTest, WhatIsSparedLeavesTheReserve) {
  WorkBudget budget({.max_extra_load = 1, .min_per_second = 100, .burst = 10});
  constexpr Duration kOne = Milliseconds(1);
  for (int i = 0; i < 4; ++i) budget.Earn(kOne, kOne);
  EXPECT_TRUE(budget.CanSpare(kOne, /*reserve=*/3 * kOne));
  EXPECT_FALSE(budget.CanSpare(kOne, /*reserve=*/4 * kOne))
      << "the floor does not count";
  budget.Charge(kOne);
  EXPECT_FALSE(budget.CanSpare(kOne, 3 * kOne));
}

TEST(WorkBudgetTest, CheapCopyGivesBackTheRest) {
  WorkBudget budget({.max_extra_load = 1, .min_per_second = 0, .burst = 10});
  constexpr Duration kOne = Milliseconds(1);
  budget.Earn(kOne, kOne);
  EXPECT_EQ(budget.Charge(kOne), kOne);
  EXPECT_FALSE(budget.CanSpare(kOne, Duration{0}));
  budget.Settle(kOne, /*service=*/Duration{0});
  EXPECT_TRUE(budget.CanSpare(kOne, Duration{0})) << "it was withdrawn";
}

TEST(WorkBudgetTest, DearCopyIsPaidForByLaterWork) {
  WorkBudget budget({.max_extra_load = 1, .min_per_second = 0, .burst = 2});
  constexpr Duration kOne = Milliseconds(1);
  budget.Earn(kOne, kOne);
  budget.Settle(*budget.Charge(kOne), 10 * kOne);
  for (int i = 0; i < 9; ++i) {
    budget.Earn(kOne, kOne);
    EXPECT_FALSE(budget.CanSpare(kOne, Duration{0})) << i;
  }
  budget.Earn(kOne, kOne);
  EXPECT_TRUE(budget.CanSpare(kOne, Duration{0}));
  for (int i = 0; i < 9; ++i) budget.Earn(kOne, kOne);
  EXPECT_FALSE(budget.CanSpare(3 * kOne, Duration{0})) << "a burst, no more";
}

TEST(WorkBudgetTest, SlowJobsEarnWhatTheyTook) {
  // One job in ten takes 91 times as long: the mean is ten.
  Account account({.max_extra_load = 0.1, .min_per_second = 0, .burst = 10});
  constexpr Duration kMean = Milliseconds(10);
  for (int i = 0; i < 1000; ++i) {
    account.budget.Earn(Milliseconds(i % 10 == 0 ? 91 : 1), kMean);
  }
  EXPECT_NEAR(account.Spend(kMean), 10, 1) << "saved up is a burst";
  for (int i = 0; i < 40; ++i) {
    account.budget.Earn(Milliseconds(91), kMean);
  }
  EXPECT_NEAR(account.Spend(kMean), 36 - 4 + 4, 4) << "all that they took";
}

TEST(WorkBudgetTest, FloorCopyIsNotSettled) {
  WorkBudget budget({.max_extra_load = 0, .min_per_second = 1, .burst = 10});
  EXPECT_TRUE(budget.CanCharge(Time{} + Milliseconds(1000), kService));
  EXPECT_EQ(budget.Charge(kService), std::nullopt);
}

TEST(WorkBudgetTest, ShareMayChangeOnTheWay) {
  WorkBudget budget({.max_extra_load = 0, .min_per_second = 0, .burst = 10});
  constexpr Duration kOne = Milliseconds(1);
  budget.Earn(kOne, kOne);
  EXPECT_FALSE(budget.CanSpare(kOne, Duration{0}));
  budget.set_max_extra_load(1);
  budget.Earn(kOne, kOne);
  EXPECT_TRUE(budget.CanSpare(kOne, Duration{0}));
}

}  // namespace
}  // namespace parm::core
