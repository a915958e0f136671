"""What the simulated grid says about the claims for the policy hybrid, each as a
ratio to a rival with the same luck, seed by seed, with its 95 % interval.
"""

import math
import statistics

BOUNDS = ("oracle", "infinite_servers")
PRODUCTS = ("hybrid", "hybrid_pack")
HEDGES = ("hedge", "hedge_20")
STRAGGLERS = ("slow_jobs_1", "slow_jobs_3", "slow_jobs_8", "slow_mode",
              "shuffles", "trace", "domain_pause")
# Mean service of a job over the clean one; the others' is no law's.
_MEAN_SERVICE = {"slow_jobs_1": 1.09, "slow_jobs_3": 1.27, "slow_jobs_8": 1.72}
# hybrid.max_extra_load of the products.
_MAX_EXTRA_LOAD = 1.0
# Of Student's t: the interval of 95 % for so many values less one.
_T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31,
      9: 2.26, 14: 2.14, 19: 2.09, 29: 2.05}


def student_t(num_values):
    """Of the next smaller number of values in the table, so never too small."""
    return _T[max(key for key in _T if key < num_values)]


def mean_interval(values):
    """(mean, low, high) with 95 % confidence; the ends None for one value."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None, None
    half = (student_t(len(values)) * statistics.stdev(values) /
            math.sqrt(len(values)))
    return mean, mean - half, mean + half


def paired_ratio(mine, theirs):
    """(ratio, low, high): geometric mean over the seeds that both have."""
    logs = [math.log(mine[seed] / theirs[seed])
            for seed in sorted(set(mine) & set(theirs))]
    return tuple(None if each is None else math.exp(each)
                 for each in mean_interval(logs))


class Grid:
    """The rows, by cell."""

    def __init__(self, rows):
        self._cells = {}
        for row in rows:
            key = (row["scenario"], row["load"])
            self._cells.setdefault(key, {}).setdefault(
                row["policy"], {})[row["seed"]] = row

    def cells(self):
        """(scenario, load), in order."""
        return list(self._cells)

    def has(self, cell, policy):
        return policy in self._cells.get(cell, {})

    def by_seed(self, cell, policy, key="p99_9_ms"):
        return {seed: row[key] for seed, row in
                self._cells[cell][policy].items() if row[key] is not None}

    def median(self, cell, policy, key="p99_9_ms"):
        values = self.by_seed(cell, policy, key).values()
        return statistics.median(values) if values else None

    def best(self, cell, policies):
        """Of those that are there the one of the least median p99.9."""
        there = [policy for policy in policies if self.has(cell, policy)]
        return min(there, key=lambda policy: self.median(cell, policy),
                   default=None)

    def statics(self, cell):
        return [policy for policy in self._cells[cell]
                if policy not in BOUNDS + PRODUCTS]

    def ratio(self, cell, policy, rival):
        return paired_ratio(self.by_seed(cell, policy),
                            self.by_seed(cell, rival))


def _name(cell):
    return f"{cell[0]} at {cell[1]:g}"


def _ratio_text(ratio):
    value, low, high = ratio
    ends = "" if low is None else f" ({low:.2f} .. {high:.2f})"
    return f"{value:.2f}{ends}"


def _behind(grid, policy):
    """Cells in which it is more than 5 % behind the best static policy, beyond
    the interval; and in how many its median is.
    """
    beyond, medians, counted = [], 0, 0
    for cell in grid.cells():
        rival = grid.best(cell, grid.statics(cell))
        if rival is None or not grid.has(cell, policy):
            continue
        counted += 1
        ratio = grid.ratio(cell, policy, rival)
        medians += (grid.median(cell, policy) >
                    1.05 * grid.median(cell, rival))
        if ratio[1] is not None and ratio[1] > 1.05:
            beyond.append(f"{_name(cell)}: {grid.median(cell, policy):.1f} ms "
                          f"against {grid.median(cell, rival):.1f} of "
                          f"`{rival}`, ratio {_ratio_text(ratio)}")
    text = (f"`{policy}` is more than 5 % behind the best static policy beyond "
            f"the interval in {len(beyond)} of {counted} cells (by the medians "
            f"in {medians})")
    return [text + (":" if beyond else ".")] + [f"  - {each}"
                                                for each in beyond]


def _against_hedge(grid, policy):
    lines = []
    goals = [(("slow_mode", load), 0.85) for load in (0.1, 0.3, 0.5)]
    goals += [(("slow_jobs_1", 0.3), 0.85), (("slow_jobs_1", 0.5), 0.95),
              (("slow_jobs_1", 0.65), 0.95), (("slow_mode", 0.65), 0.95),
              (("slow_jobs_8", 0.2), 1 / 3)]
    for cell, goal in goals:
        rival = grid.best(cell, HEDGES)
        if rival is None or not grid.has(cell, policy):
            continue
        ratio = grid.ratio(cell, policy, rival)
        verdict = ("reached" if ratio[0] <= goal and
                   (ratio[2] is None or ratio[2] <= goal) else
                   "reached in the mean only" if ratio[0] <= goal else "missed")
        lines.append(f"  - {_name(cell)}: {grid.median(cell, policy):.1f} ms, "
                     f"`{rival}` {grid.median(cell, rival):.1f}, ratio "
                     f"{_ratio_text(ratio)}, goal {goal:.2f}: {verdict}")
    if not lines:
        return []
    return [f"`{policy}` against the best hedge:"] + lines


def _ahead_of_hedge(grid, policy):
    """Wherever stragglers exist and load leaves room."""
    cells = [cell for cell in grid.cells()
             if cell[0] in STRAGGLERS and cell[1] <= 0.65 and
             grid.has(cell, policy) and grid.best(cell, HEDGES)]
    missed = []
    for cell in cells:
        ratio = grid.ratio(cell, policy, grid.best(cell, HEDGES))
        if ratio[0] > 0.95:
            missed.append(f"{_name(cell)} {_ratio_text(ratio)}")
    if not cells:
        return []
    text = (f"`{policy}` is at least 5 % ahead of the best hedge in "
            f"{len(cells) - len(missed)} of {len(cells)} cells with stragglers "
            "up to load 0.65")
    return [text + (f"; not in {'; '.join(missed)}." if missed else ".")]


def _against_backup(grid, policy):
    cells = [cell for cell in grid.cells()
             if grid.has(cell, policy) and grid.has(cell, "backup")]
    slower = []
    for cell in cells:
        ratio = grid.ratio(cell, policy, "backup")
        if ratio[1] is not None and ratio[1] > 1:
            slower.append(f"{_name(cell)} {_ratio_text(ratio)}")
    if not cells:
        return []
    text = (f"`{policy}` is slower than `backup` at p99.9 beyond the interval "
            f"in {len(slower)} of {len(cells)} cells")
    return [text + (f": {'; '.join(slower)}." if slower else ".")]


def _accuracy(grid, policy):
    lost, cells = [], 0
    for cell in grid.cells():
        if cell[1] > 0.75 or not grid.has(cell, policy):
            continue
        exact = grid.median(cell, policy, "exact_accuracy")
        delivered = grid.median(cell, policy, "delivered_accuracy")
        if exact is None or delivered is None:
            continue
        cells += 1
        lost.append((exact - delivered, cell))
    if not lost:
        return []
    within = sum(each <= 0.002 for each, _ in lost)
    most, where = max(lost)
    return [f"`{policy}` delivers within 0.2 points of exact in {within} of "
            f"{cells} cells at load up to 0.75; at most {100 * most:.2f} "
            f"points are lost, {_name(where)}."]


def _reconstructed(grid, policy):
    above, cells = [], 0
    for cell in grid.cells():
        if not grid.has(cell, policy):
            continue
        share = statistics.fmean(
            grid.by_seed(cell, policy, "share_reconstructed").values())
        late = list(grid.by_seed(cell, policy, "late_share").values())
        if not late:
            continue
        cells += 1
        late = statistics.fmean(late)
        if share > 1.3 * late:
            above.append(f"{_name(cell)} {100 * share:.2f} % of "
                         f"{100 * late:.2f} %")
    if not cells:
        return []
    text = (f"`{policy}` reconstructs more than 1.3 times the late share in "
            f"{len(above)} of {cells} cells")
    return [text + (f": {'; '.join(above)}." if above else ".")]


def _budget(grid, policy):
    """Where the scenario's law says what ordinary work takes."""
    spent = [(statistics.fmean(grid.by_seed(
        cell, policy, "extra_service_per_query").values()) /
              (_MAX_EXTRA_LOAD * _MEAN_SERVICE[cell[0]]), cell)
             for cell in grid.cells()
             if cell[0] in _MEAN_SERVICE and grid.has(cell, policy)]
    if not spent:
        return []
    most, where = max(spent)
    within = sum(share <= 1 for share, _ in spent)
    return [f"`{policy}` keeps to its budget, a service of extra work for one of "
            f"ordinary work, in {within} of {len(spent)} cells with slow jobs; "
            f"it spends at most {most:.2f} of it, {_name(where)}."]


def _predictability(grid):
    """ParM's measure, p99.9 - p50, under the shuffles."""
    lines = []
    for load in (0.1, 0.3, 0.5):
        cell = ("shuffles", load)
        if not grid.has(cell, "none"):
            continue
        gaps = {}
        for policy in ("none", "parm", "coded", *PRODUCTS, "oracle"):
            if not grid.has(cell, policy):
                continue
            p50 = grid.by_seed(cell, policy, "p50_ms")
            p99_9 = grid.by_seed(cell, policy)
            gaps[policy] = statistics.median(
                p99_9[seed] - p50[seed] for seed in p50)
        texts = [f"`{policy}` {gap:.1f} ms ({gaps['none'] / gap:.1f} times less)"
                 for policy, gap in gaps.items() if policy != "none"]
        lines.append(f"  - load {load:g}: `none` {gaps['none']:.1f} ms, "
                     f"{', '.join(texts)}")
    if not lines:
        return []
    return ["p99.9 - p50 under the shuffles, goal 4 times less than `none`:",
            *lines]


def markdown(rows):
    """A section with a line for each claim that the rows allow."""
    grid = Grid(rows)
    lines = []
    for policy in PRODUCTS:
        for claim in (_behind, _against_hedge, _ahead_of_hedge,
                      _against_backup, _accuracy,
                      _reconstructed, _budget):
            made = claim(grid, policy)
            if made and not (claim is _behind and
                             not any(grid.has(cell, policy)
                                     for cell in grid.cells())):
                lines += [f"- {made[0]}", *made[1:]]
    made = _predictability(grid)
    if made:
        lines += [f"- {made[0]}", *made[1:]]
    if not lines:
        return ""
    return ("\n## Claims\n\nRatios of p99.9 are geometric means over the seeds, "
            "each of which both policies ran, with 95 % intervals by Student's "
            "t.\n\n" + "\n".join(lines) + "\n")
