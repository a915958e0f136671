"""The record and the tables of an accuracy suite. Accuracies are fractions in
the record and percent in the tables.
"""

import datetime
import os
import statistics

import yaml


def bundles_in(path):
    """The bundle there, or the several of a code; none: an empty list."""
    folders = [path, *(os.path.join(path, str(parity)) for parity in range(4))]
    return [folder for folder in folders
            if os.path.exists(os.path.join(folder, "bundle.yaml"))]


def first_seeds(runs):
    """Of each unit in `runs`, (unit, seed), the first seed."""
    seeds = {}
    for unit, seed in runs:
        seeds.setdefault(unit, seed)
    return seeds


def _training_seconds(path):
    """Wall time that training took, as the bundles state it; None if unstated.
    """
    seconds = []
    for bundle in bundles_in(path):
        with open(os.path.join(bundle, "bundle.yaml"), encoding="utf-8") as file:
            seconds.append(
                yaml.safe_load(file).get("training", {}).get("seconds"))
    return None if not seconds or None in seconds else sum(seconds)


def _parity_seconds(suite, unit, seed, out):
    """Of all trainings that this unit's one builds on, too."""
    if not unit.epochs:
        return 0.0
    seconds = _training_seconds(os.path.join(out, unit.trained(seed)))
    if not unit.start or seconds is None:
        return seconds
    start = next(other for other in suite.units if other.name == unit.start)
    before = _parity_seconds(suite, start, seed, out)
    return None if before is None else seconds + before


def _rows(figures, common):
    """A row per number of losses."""
    return [{**common, "losses": int(losses), "a_d": a_d,
             "a_d_se": figures["a_d_se"][losses]}
            for losses, a_d in sorted(figures["a_d"].items(),
                                      key=lambda item: int(item[0]))]


def _without_folder(frontier, out):
    """Bundles by their names alone, not by where this machine keeps them."""
    units = [{**unit, "unit": os.path.relpath(unit["unit"], out)}
             if os.path.isabs(unit["unit"]) else unit
             for unit in frontier["units"]]
    return {**frontier, "units": units}


def make_record(suite, runs, reports, frontier, training_free, left_out, *, out,
                commit, quick):
    """`runs`: (unit, seed), with what `parm-train evaluate` said of each in
    `reports`; `frontier`: what `parm-train frontier` said of first_seeds;
    `training_free`: what `parm-train berrut` said; `left_out`: bundles of the
    suite that were not trained.
    """
    costs = {unit["unit"]: unit for unit in frontier["units"]}
    seeds = first_seeds(runs)
    common = {
        "dataset": suite.dataset, "arch": suite.arch,
        "a_a": frontier["a_a"], "device": frontier["machine"],
        "train_s_deployed": _training_seconds(os.path.join(out, "deployed")),
    }
    rows = []
    risk = {}
    for (unit, seed), report in zip(runs, reports):
        first = costs[os.path.join(out, unit.bundle(seeds[unit]))]
        rows += _rows(report, {
            **common, "unit": unit.name, "scheme": unit.scheme, "k": unit.k,
            "r": unit.r,
            "work_fraction": unit.work_fraction, "half": unit.half,
            "label": unit.label, "ece": report["ece"],
            "relative_cost": first["relative_cost"], "bytes": report["bytes"],
            "seed": seed, "epochs": min(unit.epochs, 1) if quick else unit.epochs,
            "start": unit.start,
            "train_s_parity": _parity_seconds(suite, unit, seed, out),
        })
        risk[unit.bundle(seed)] = report["risk_coverage"]
    for unit in frontier["units"]:
        if not unit["exact"]:
            continue
        rows += _rows(unit, {
            **common, "unit": f"pack{unit['k']}", "scheme": "pack",
            "k": unit["k"], "r": 1, "work_fraction": 1.0, "half": False,
            "label": "", "ece": unit["ece"],
            "relative_cost": unit["relative_cost"], "bytes": unit["bytes"],
            "seed": suite.deployed_seed, "epochs": 0, "train_s_parity": 0.0,
        })
    return {
        "dataset": suite.dataset, "quick": quick, "commit": commit,
        "machine": frontier["machine"], "samples": frontier["samples"],
        "written": datetime.datetime.now(datetime.timezone.utc).isoformat(
            timespec="seconds"),
        "rows": rows, "risk_coverage": risk,
        "frontier": _without_folder(frontier, out),
        "training_free": training_free, "left_out": left_out,
    }


def _percent(fraction):
    return "-" if fraction is None else f"{100 * fraction:.2f}"


def _label(row):
    if row["label"]:
        return row["label"]
    if row["scheme"] != "pack":
        several = f", r = {row['r']}" if row["r"] > 1 else ""
        return f"`{row['scheme']}`{several}"
    if row["work_fraction"] == 1:
        return "`pack`, the deployed model"
    return f"`pack`, a model of {row['work_fraction']:.2f} of the work"


def _mean(rows, key):
    values = [row[key] for row in rows]
    return None if None in values else statistics.fmean(values)


def _by_unit(record):
    """Rows at one loss, in the order of k; a list of seeds for each unit."""
    groups = {}
    for row in record["rows"]:
        if row["losses"] == 1:
            groups.setdefault((row["k"], row["unit"]), []).append(row)
    return [groups[key] for key in sorted(groups, key=lambda key: key[0])]


def _unit_line(suite, rows):
    first = rows[0]
    published, published_deployed = suite.published[first["k"]]
    spread = "-"
    if len(rows) > 1:
        a_d = [row["a_d"] for row in rows]
        spread = f"{_percent(min(a_d))} .. {_percent(max(a_d))}"
    seconds = _mean(rows, "train_s_parity")
    deployed = first["train_s_deployed"]
    times = ("-" if seconds is None or not deployed
             else f"{seconds / deployed:.1f}")
    return (f"| {_label(first)} | {first['k']} | {_percent(_mean(rows, 'a_d'))}"
            f" | {_percent(_mean(rows, 'a_d_se'))} | {spread}"
            f" | {_percent(first['a_a'] - _mean(rows, 'a_d'))}"
            f" | {_percent(published_deployed - published)}"
            f" | {_percent(_mean(rows, 'ece'))}"
            f" | {first['relative_cost']:.2f} | {first['bytes']}"
            f" | {first['epochs']}"
            f" | {'-' if seconds is None else f'{seconds / 60:.0f}'}"
            f" | {times} |")


def _target_line(units, name, counts, drops):
    cells = []
    for k, drop in sorted(drops.items()):
        candidates = [rows for rows in units if rows[0]["k"] == k
                      and counts(rows[0]["scheme"], rows[0]["relative_cost"])]
        if not candidates:
            cells.append(f"<= {_percent(drop)}: not measured")
            continue
        best = max(candidates, key=lambda rows: _mean(rows, "a_d"))
        reached = best[0]["a_a"] - _mean(best, "a_d")
        cells.append(f"<= {_percent(drop)}: {_percent(reached)} "
                     f"({_label(best[0])}), "
                     f"{'met' if reached <= drop else '**missed**'}")
    return f"| {name} | " + " | ".join(cells) + " |"


def _two_losses(record):
    """Units of the greatest k that decode two losses, at one and at two."""
    k = max(row["k"] for row in record["rows"])
    units = {}
    for row in record["rows"]:
        if row["k"] == k and row["losses"] <= 2:
            unit = units.setdefault((row["unit"], row["seed"]), {})
            unit[row["losses"]] = row
    lines = [
        f"| {_label(of[1])} | {of[1]['seed']} | {of[1]['r']} "
        f"| {_percent(of[1]['a_d'])} | {_percent(of[2]['a_d'])} "
        f"| {_percent(of[2]['a_d_se'])} | {of[1]['relative_cost']:.2f} |"
        for of in units.values() if 2 in of]
    if not lines:
        return []
    return [
        "", "## Two losses", "",
        f"A_d of groups of k = {k}, of which one member or two are lost and "
        "every parity is there.",
        "",
        "| unit | seed | parity tasks | one lost | two lost | +- | cost |",
        "| --- | --- | --- | --- | --- | --- | --- |", *lines]


def _confidence_line(bundle, points):
    """The most confident half, beside the deployed model on the same samples;
    None where too few samples were judged.
    """
    for point in points:
        if abs(point["coverage"] - 0.5) < 1e-9:
            lost = point["deployed_accuracy"] - point["accuracy"]
            return (f"| {bundle} | {_percent(point['accuracy'])} "
                    f"| {_percent(point['deployed_accuracy'])} "
                    f"| {_percent(lost)} |")
    return None


def make_table(suite, record):
    """Markdown: every unit at one loss, then the targets."""
    units = _by_unit(record)
    first = units[0][0]
    seconds = first["train_s_deployed"]
    origin = ("published weights" if seconds is None
              else f"trained for {seconds / 60:.0f} minutes")
    lines = [f"# {record['dataset']}", ""]
    if record["quick"]:
        lines += ["**A smoke run: no figure here means anything.**", ""]
    lines += [
        f"Deployed: `{first['arch']}`, A_a {_percent(first['a_a'])} % of "
        f"{record['samples']} test samples, {origin}. "
        f"Commit {record['commit']}, {record['machine']}, one thread.",
        "",
        "One loss per group. `tile`, `stack` and `pack` decode any number of "
        "losses with the same accuracy, `weighted` r, the others one. A_d, the "
        "mean over several groupings of the test set (one for `pack`), and its "
        "standard error, from blocks of the set that share no group, in "
        "percent, the mean of "
        "the seeds where there are several; drop is "
        "A_a - A_d in points, beside that of ParM's sum code "
        f"with a ResNet-18 after {suite.published_epochs} epochs (SOSP'19). "
        "Cost is the service time "
        "of the extra task over that of one query, bytes are those of its "
        "query, minutes the wall time of training, with that of the weights it "
        "started from, times that over the deployed model's."
        + (" Not in this run: " + ", ".join(record["left_out"]) + "."
           if record["left_out"] else ""),
        "",
        "| unit | k | A_d | +- | seeds | drop | ParM's drop | ECE % | cost "
        "| bytes | epochs | minutes | times |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- "
        "| --- | --- |",
    ]
    lines += [_unit_line(suite, rows) for rows in units]
    ks = sorted(suite.targets[0][2])
    lines += [
        "", "## Targets", "",
        "The best unit of each kind that costs at most one query, 1.1 as "
        "measured. Parity proper: `sum`, `concat`, `tile`, `stack`, at the "
        "bytes of one query.",
        "",
        "| drop | " + " | ".join(f"k = {k}" for k in ks) + " |",
        "| --- |" + " --- |" * len(ks),
    ]
    lines += [_target_line(units, *target) for target in suite.targets]
    lines += _two_losses(record)
    confident = [_confidence_line(*item)
                 for item in record["risk_coverage"].items()]
    lines += [
        "", "## Confidence", "",
        "The half of the reconstructions with the greatest margins, on the odd "
        "groups of the test set (the even ones calibrate), and the deployed "
        "model on the same samples. ECE is in the first table.",
        "",
        "| bundle | accuracy | deployed | drop |", "| --- | --- | --- | --- |",
        *(line for line in confident if line),
    ]
    if not record["training_free"]:
        return "\n".join(lines) + "\n"
    lines += [
        "", "## Training-free", "",
        "Berrut's code: k coded queries and one more replace the queries, all "
        "run by the deployed model, one answer missing. Accuracy over *all* "
        "queries and the pattern of the missing answer; nothing is trained. "
        "The error takes queries to be independent.",
        "",
        "| variant | k | accuracy | +- |", "| --- | --- | --- | --- |",
    ]
    lines += [f"| {row['variant']} | {code['k']} | {_percent(row['accuracy'])} "
              f"| {_percent(row['standard_error'])} |"
              for code in record["training_free"] for row in code["rows"]]
    return "\n".join(lines) + "\n"
