"""Many seeds of the whole catalogue: `python -m parity_tests.soak --help`.

One run is one operator on the random and corner graphs of one seed, which also draws weights,
cotangents and jitter, with the operator's configurations in turn, in every lane. An alarm is any
verdict but PASS and DECLARED: the two sides have not changed, so each is a false one.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from jraphx_eqx.parity import Case, Record, Spec, describe, graphs, lanes_of, run, vacuity

from . import _work
from ._programs import keep_few
from .catalogue import DIVERGENCES, FEATURES, OPERATORS, SPECS
from .recorded import random_graphs

LANES = ("f64", "f32")
KINDS = ("value", "gradient")


@dataclasses.dataclass
class Soak:
    """What the runs of one operator found.

    **Arguments:**

    - `runs`, `comparisons`: how many.
    - `worst`: the largest error divided by its tolerance, by lane and kind.
    - `decisions`: the verdicts on selections.
    - `vacuous`: which comparisons said nothing, by lane and tensor.
    - `alarms`: every record that is neither PASS nor DECLARED, as text.
    """

    runs: int = 0
    comparisons: int = 0
    worst: dict[tuple[str, str], float] = dataclasses.field(default_factory=dict)
    decisions: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    vacuous: dict[tuple[str, str], list[bool]] = dataclasses.field(default_factory=dict)
    alarms: list[str] = dataclasses.field(default_factory=list)

    def add(self, records: list[Record]) -> None:
        """Takes in more records."""
        self.comparisons += len(records)
        for record in records:
            self.decisions.update(record.decisions)
            if record.verdict not in ("PASS", "DECLARED"):
                self.alarms.append(describe(record))
            elif record.verdict == "PASS" and record.kind in KINDS:
                key = record.lane, record.kind
                self.worst[key] = max(self.worst.get(key, 0.0), record.ratio)


def soak(
    first: int,
    seeds: int,
    name: str,
    progress: Callable[[], None] = lambda: None,
) -> Soak:
    """Runs one operator on `seeds` seeds from `first`."""
    import torch

    torch.set_num_threads(1)
    spec, found = SPECS[name], Soak()
    for seed in range(first, first + seeds):
        found.add(_one(spec, seed, found.vacuous))
        found.runs += 1
        progress()
        keep_few()  # Cases without padding have programs of their own.
    found.add(vacuity(spec, found.vacuous))
    return found


def _one(spec: Spec, seed: int, vacuous: dict[tuple[str, str], list[bool]]) -> list[Record]:
    own = OPERATORS[spec.name].cases or _cases
    # A rotated start, so that in the course of the seeds every configuration meets every case.
    turn = seed % len(spec.grid)
    spec = dataclasses.replace(spec, grid=[*spec.grid[turn:], *spec.grid[:turn]])
    lanes = [lane for lane in lanes_of(spec) if lane != "metamorphic"]
    at = {"pairing": "rotate", "seed": seed, "divergences": DIVERGENCES, "vacuous": vacuous}
    return run(spec, own(seed), lanes=lanes, **at).records


def _cases(seed: int) -> list[Case]:
    return [random_graphs(seed), *graphs.corners(seed, features=FEATURES)]


def main(
    seeds: Annotated[int, typer.Option(help="How many seeds for each operator.", min=1)] = 100,
    first: Annotated[int, typer.Option(help="The first seed.", min=0)] = 1000,
    operator: Annotated[list[str] | None, typer.Option(help="Default: all.")] = None,
    jobs: Annotated[int, typer.Option(help="Processes.", min=1)] = _work.Options().jobs,
) -> None:
    """Compares every operator with PyG on many seeds and counts false alarms."""
    names = [name for name in SPECS if operator is None or name in operator]
    work = functools.partial(soak, first, seeds)
    found: dict[str, Soak] = {}
    console = Console(width=110)
    with Progress(console=console) as bar:
        task = bar.add_task("runs", total=seeds * len(names))
        done = _work.by_operator(names, jobs, work, lambda name: seeds, lambda: bar.advance(task))
        for name, one, _ in done:
            found[name] = one
    console.print(_table({name: found[name] for name in names}))
    alarms = [line for one in found.values() for line in one.alarms]
    for line in alarms:
        console.print(line)
    runs = sum(one.runs for one in found.values())
    console.print(f"{runs} runs from seed {first}: {len(alarms)} false alarms")
    raise typer.Exit(1 if alarms else 0)


def _table(found: dict[str, Soak]) -> Table:
    ratios = [f"{lane} {kind}s" for lane in LANES for kind in KINDS]
    columns = ("operator", "runs", "comparisons", *ratios, "decisions", "alarms")
    table = Table(title="Many seeds: the largest error / tolerance")
    for column in columns:
        table.add_column(column, no_wrap=column == "operator")
    for name, one in found.items():
        worst = [one.worst.get((lane, kind), 0.0) for lane in LANES for kind in KINDS]
        decisions = ", ".join(f"{verdict} {n}" for verdict, n in sorted(one.decisions.items()))
        numbers = [f"{ratio:.2f}" for ratio in worst]
        table.add_row(
            name, str(one.runs), str(one.comparisons), *numbers, decisions, str(len(one.alarms))
        )
    return table


if __name__ == "__main__":
    typer.run(main)
