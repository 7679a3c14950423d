"""What is timed: sizes, number types and the frameworks that take part."""

import dataclasses

OURS, PYG, COMPILED, SCATTER, JRAPHX = FRAMEWORKS = (
    "ours",
    "PyG",
    "PyG compiled",
    "PyG + torch-scatter",
    "JraphX",
)
MAIN = (OURS, PYG, JRAPHX)

FORWARD, BOTH, STEP = "forward", "forward + backward", "training step"
SCORERS = ("graph", "gcn", "gat", "sage")
GLOBAL_POOLS = tuple(f"global_{name}_pool" for name in ("add", "mean", "max", "min"))
TOPK = "TopKPooling"
SAG = {scorer: f"SAGPooling ({scorer})" for scorer in SCORERS}
POOLS = (TOPK, *SAG.values())
CLASSIFIERS = ("classifier (gcn)", "classifier (graph)")


def class_and_scorer(name: str) -> tuple[str, str]:
    """The class of a pooling, and what scores the nodes, if it can be chosen."""
    kind, _, scorer = name.removesuffix(")").partition(" (")
    return kind, scorer


@dataclasses.dataclass(frozen=True)
class Workload:
    """One batch, and which operators run on it."""

    part: str
    graphs: int
    nodes: int
    """In each graph, for random graphs; in all of them for the rows of global pools."""
    operators: tuple[str, ...]
    dtype: str = "float32"
    features: int = 64
    degree: int = 4
    dataset: str | None = None
    frameworks: tuple[str, ...] = MAIN

    @property
    def size(self) -> str:
        if self.dataset:
            return f"{self.graphs} of {self.dataset}"
        if self.part == "pools":
            return f"{self.nodes:,} rows, {self.graphs:,} graphs"
        return f"{self.graphs:,} x {self.nodes:,}"


def pools(quick: bool) -> list[Workload]:
    def rows(nodes, graphs, dtype="float32", frameworks=MAIN):
        return Workload("pools", graphs, nodes, GLOBAL_POOLS, dtype, frameworks=frameworks)

    if quick:
        return [rows(40_000, 1024)]
    numbers = (1, 8, 128, 1024, 4096)
    extra = {(40_000, 1024), (400_000, 128)}
    single = [
        rows(nodes, graphs, frameworks=FRAMEWORKS if (nodes, graphs) in extra else MAIN)
        for nodes in (40_000, 400_000)
        for graphs in numbers
    ]
    return single + [rows(40_000, graphs, "float64") for graphs in numbers]


def layers(quick: bool) -> list[Workload]:
    def batch(graphs, nodes, dtype="float32", frameworks=MAIN, operators=POOLS):
        return Workload("layers", graphs, nodes, operators, dtype, frameworks=frameworks)

    few = (TOPK, SAG["graph"], SAG["gcn"])
    if quick:
        return [batch(128, 32, operators=few)]
    return [
        batch(128, 32, frameworks=FRAMEWORKS),
        batch(1024, 32),
        batch(512, 256),
        batch(4, 20_000),
        batch(1, 1_000_000, operators=few),
        batch(128, 32, "float64"),
        batch(1024, 32, "float64", (OURS, PYG)),
    ]


def classifier(quick: bool) -> list[Workload]:
    def batch(graphs, nodes, dtype="float32", frameworks=MAIN):
        return Workload("classifier", graphs, nodes, CLASSIFIERS, dtype, frameworks=frameworks)

    if quick:
        return [batch(128, 32, frameworks=(OURS, PYG))]
    return [
        batch(128, 32, frameworks=FRAMEWORKS),
        batch(1024, 32),
        batch(512, 256, frameworks=(OURS, PYG)),
        batch(4, 20_000),
        batch(128, 32, "float64"),
    ]


def real(quick: bool, datasets: list[str]) -> list[Workload]:
    """`datasets` names those that can be read here."""
    operators = ("global_mean_pool", "global_max_pool", *POOLS[:3])
    operators += () if quick else CLASSIFIERS
    return [Workload("real", 32 if quick else 128, 0, operators, dataset=name) for name in datasets]


def compiling(quick: bool) -> list[Workload]:
    operators = ("global_mean_pool", "global_max_pool", *POOLS, *CLASSIFIERS)
    frameworks = (OURS, PYG, COMPILED, JRAPHX)
    if quick:
        operators, frameworks = (TOPK,), (OURS, PYG)
    return [Workload("compile", 128, 32, operators, frameworks=frameworks)]


def memory(quick: bool) -> list[Workload]:
    operators = ("global_mean_pool", "global_max_pool", *POOLS)
    if quick:
        return [Workload("memory", 1, 10_000, (TOPK,), frameworks=(OURS, PYG))]
    return [Workload("memory", 1, 1_000_000, operators)]


def scaling(quick: bool) -> list[list[Workload]]:
    """Series of growing sizes: one graph, and graphs of 32 nodes."""
    sizes = (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    one = ("global_max_pool", TOPK, SAG["graph"], SAG["gcn"])
    if quick:
        return [[Workload("scaling", 1, size, one[1:2], features=16) for size in sizes]]
    return [
        [Workload("scaling", 1, size, one, features=16) for size in sizes],
        [Workload("scaling", size // 32, 32, (TOPK,), features=16) for size in sizes],
    ]
