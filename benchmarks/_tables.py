"""The results as rows of text, for the terminal and for the documentation."""

import dataclasses
import statistics

from ._targets import Record, cells, outcomes, ratio, value
from ._workloads import FRAMEWORKS, OURS

TITLES = {
    "pools": "Global pools, 64 features",
    "layers": "TopKPooling and SAGPooling, 64 features, 4 edges a node",
    "classifier": "One training step of a classifier with two poolings",
    "real": "Batches of real graphs, ours padded to one size for all batches",
    "compile": "Seconds from the call of a new function to its result, 128 graphs of 32 nodes",
    "memory": "Memory at the peak of a call, beyond what was there before; one graph",
    "scaling": "Growing inputs, 16 features, 4 edges a node, forward + backward",
}


@dataclasses.dataclass(frozen=True)
class Table:
    title: str
    header: list[str]
    rows: list[list[str]]


def summary(records: list[Record]) -> Table:
    """Each target, and what was measured."""
    header = ["target: ours / theirs", "pass", "against", "at most", "worst", "median", "best"]
    rows = []
    for outcome in outcomes(records):
        target, ratios = outcome.target, outcome.ratios
        found = (max(ratios), statistics.median(ratios), min(ratios)) if ratios else ()
        numbers = [f"{number:.3f}" for number in found] or ["-"] * 3
        name = [target.name, ", ".join(target.passes), target.against, f"{target.most:g}"]
        rows.append([*name, *numbers, outcome.met])
    return Table("Targets", [*header, "met"], rows)


def part(records: list[Record], name: str) -> Table:
    """All cells of one part: what each framework takes, and ours as ratios."""
    mine = [record for record in records if record["part"] == name]
    names = [f for f in FRAMEWORKS if any(r["framework"] == f for r in mine)]
    others = [framework for framework in names if framework != OURS]
    unit = {"memory": "MiB", "compile": "s"}.get(name, "ms")
    header = ["size", "type", "operator", "pass"]
    header += [f"{n} ({unit})" for n in names] + [f"/ {n}" for n in others]
    rows = []
    for cell in cells(mine):
        record = next(iter(cell.values()))
        row = [record["size"], record["dtype"], record["operator"], record["pass"]]
        row += [shown(cell[n], unit) if n in cell else "-" for n in names]
        ratios = [ratio(cell, n) for n in others]
        rows.append(row + ["-" if r is None else f"{r:.3f}" for r in ratios])
    return Table(TITLES[name], header, rows)


def shown(record: Record, unit: str) -> str:
    """The median, and half the distance between the quartiles where there are many times."""
    number = value(record)
    if number is None:
        return "-"
    scale = {"MiB": 2**-20, "s": 1.0, "ms": 1e3}[unit]
    times = [time for turn in record.get("seconds", []) for time in turn]
    text = f"{scale * number:.3g}" if scale * number < 1000 else f"{scale * number:.0f}"
    if len(times) < 3 or unit == "MiB":
        return text
    low, _, high = statistics.quantiles(times, n=4)
    return f"{text} ± {scale * (high - low) / 2:.1g}"


def markdown(table: Table) -> str:
    lines = [table.header, ["---"] * len(table.header), *table.rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def failures(records: list[Record]) -> list[str]:
    """What could not be measured, and why."""
    lines = [
        f"{r['framework']}, {r['operator']} {r['pass']}, {r['part']} {r['size']}: {r['error']}"
        for r in records
        if "error" in r
    ]
    return list(dict.fromkeys(lines))
