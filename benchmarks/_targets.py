"""What we want to reach, as ratios of our median time or memory to another framework's."""

import dataclasses
import statistics

from ._workloads import BOTH, FORWARD, JRAPHX, OURS, PYG, SAG, STEP, TOPK

Record = dict


@dataclasses.dataclass(frozen=True)
class Target:
    """`most` is the largest ratio that meets it, in every cell of the grid."""

    name: str
    part: str
    operators: tuple[str, ...]
    passes: tuple[str, ...]
    against: str
    most: float
    graphs: int = 1
    """Cells of fewer graphs do not count, nor do those of fewer nodes in a graph."""
    nodes: int = 0

    def covers(self, record: Record) -> bool:
        return (
            record["part"] == self.part
            and record["operator"] in self.operators
            and record["pass"] in self.passes
            and record["graphs"] >= self.graphs
            and record["nodes"] >= self.nodes
        )


@dataclasses.dataclass(frozen=True)
class Outcome:
    target: Target
    ratios: list[float]

    @property
    def met(self) -> str:
        """In how many cells; no cell at all is not a success."""
        if not self.ratios:
            return "not measured"
        good = sum(ratio <= self.target.most for ratio in self.ratios)
        return "yes" if good == len(self.ratios) else f"in {good} of {len(self.ratios)}"


def _pair(name, part, operators, passes, pyg, jraphx, graphs=1):
    limits = ((PYG, pyg), (JRAPHX, jraphx))
    return [Target(name, part, operators, passes, *limit, graphs) for limit in limits]


_SUMS = ("global_add_pool", "global_mean_pool")
_EXTREMES = ("global_max_pool", "global_min_pool")
_SAG = (SAG["graph"], SAG["gcn"])
_CLASSIFIERS = ("classifier (gcn)", "classifier (graph)")
_LAYERS = ("global_mean_pool", "global_max_pool", TOPK, *_SAG)
TARGETS = [
    *_pair("global add, mean", "pools", _SUMS, (BOTH,), 0.5, 1.0),
    *_pair("global max, min", "pools", _EXTREMES, (FORWARD,), 1.0, 0.7),
    *_pair("global max, min", "pools", _EXTREMES, (BOTH,), 0.25, 0.8),
    *_pair("TopK, 128 graphs or more", "layers", (TOPK,), (FORWARD,), 0.5, 0.02, 128),
    *_pair("TopK, 128 graphs or more", "layers", (TOPK,), (BOTH,), 0.33, 0.01, 128),
    *_pair("SAG (graph, gcn)", "layers", _SAG, (BOTH,), 0.4, 0.02),
    *_pair("two-pool classifier", "classifier", _CLASSIFIERS, (STEP,), 0.4, 0.02),
    Target("peak memory, 1e6 nodes", "memory", _LAYERS, (BOTH,), PYG, 0.8, nodes=10**6),
]


def value(record: Record) -> float | None:
    """The median of seconds, or the bytes that a call took beyond what was there before."""
    if record["part"] == "memory" and "memory" in record:
        return record["memory"]["peak"] - record["memory"]["before"]
    if "seconds" in record:
        return statistics.median(time for turn in record["seconds"] for time in turn)
    return None


def cells(records: list[Record]) -> list[dict[str, Record]]:
    """The records of each cell of the grid, by framework."""
    found: dict[tuple, dict[str, Record]] = {}
    for record in records:
        names = ("part", "size", "dtype", "operator", "pass")
        found.setdefault(tuple(record[n] for n in names), {})[record["framework"]] = record
    return list(found.values())


def ratio(cell: dict[str, Record], framework: str) -> float | None:
    """Ours divided by the other's; below 1 we are better."""
    pair = [value(cell[name]) if name in cell else None for name in (OURS, framework)]
    if pair[0] is None or pair[1] is None or pair[1] <= 0:
        return None
    return pair[0] / pair[1]


def outcomes(records: list[Record]) -> list[Outcome]:
    """Each target with the ratios of its cells."""
    grid = cells(records)
    out = []
    for target in TARGETS:
        covered = [cell for cell in grid if target.covers(next(iter(cell.values())))]
        ratios = [ratio(cell, target.against) for cell in covered]
        out.append(Outcome(target, [r for r in ratios if r is not None]))
    return out
