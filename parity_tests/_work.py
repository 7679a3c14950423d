"""One operator of a command, so that several can run in processes of their own."""

import dataclasses
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Literal

from jraphx_eqx.parity import Case, Config, Result, Spec, graphs, lanes_of, pairs, run

from .catalogue import FEATURES, SPECS
from .digits import digit_cases
from .divergences import DIVERGENCES

# Most of the time goes into XLA's compiler, so the operators with the most programs start first.
ORDER = ("SAGPooling", "TopKPooling", "GATConv", "GCNConv")
LANES = ("exact", "f64", "f32")
Cases = Literal["digits", "random", "corner"]


class UnknownCase(Exception):
    """There is no case of this name."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to compare, on what."""

    lanes: tuple[str, ...] = LANES
    cases: Cases = "digits"
    case: str | None = None
    configs: int | None = 6
    seed: int = 0
    quick: bool = False
    jobs: int = min(os.cpu_count() or 1, 4)


def compare(options: Options, name: str, progress: Callable[[], None] = lambda: None) -> Result:
    """Runs one operator as the options say."""
    import torch

    if options.jobs > 1:
        torch.set_num_threads(1)
    spec = chosen_spec(name, options)
    return run(
        spec,
        chosen_cases(options),
        lanes=[lane for lane in options.lanes if lane in lanes_of(spec)],
        pairing=_pairing(options),
        seed=options.seed,
        divergences=DIVERGENCES,
        repro=functools.partial(_repro, options),
        progress=progress,
    )


def size(name: str, options: Options) -> int:
    """How many batches `compare` will run."""
    return len(pairs(chosen_spec(name, options), chosen_cases(options), _pairing(options)))


def by_operator(
    names: Sequence[str],
    jobs: int,
    work: Callable[[str, Callable[[], None]], Result],
    length: Callable[[str], int],
    progress: Callable[[], None],
) -> Iterator[tuple[str, Result]]:
    """`work(name, progress)` for all operators, in several processes; results as they come."""
    if jobs <= 1 or len(names) == 1:
        for name in names:
            yield name, work(name, progress)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(names)), context) as pool:
        first = sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
        futures = {pool.submit(work, name, _silent): name for name in first}
        for future in as_completed(futures):
            for _ in range(length(futures[future])):
                progress()
            yield futures[future], future.result()


def _silent() -> None:
    """Progress that is reported when the operator is done."""


def chosen_spec(name: str, options: Options) -> Spec:
    """The operator with the configurations that the options ask for."""
    spec = SPECS[name]
    configs = min(options.configs or len(spec.grid), 3) if options.quick else options.configs
    return dataclasses.replace(spec, grid=spec.grid[:configs])


def chosen_cases(options: Options) -> list[Case]:
    """The cases that the options ask for."""
    if options.cases == "digits":
        cases = list(digit_cases())
    elif options.cases == "corner":
        cases = graphs.corners(options.seed, features=FEATURES)
    else:
        cases = [graphs.random(options.seed + i, features=FEATURES) for i in range(12)]
    if options.case:
        cases = [case for case in cases if case.name == options.case]
        if not cases:
            raise UnknownCase(f"--cases {options.cases} has no case {options.case!r}")
    return cases[:3] if options.quick else cases


def _pairing(options: Options) -> Literal["product", "rotate"]:
    return "product" if options.case else "rotate"


def _repro(options: Options, spec: Spec, config: Config, case: Case, lane: str) -> str:
    place = [c.name for c in SPECS[spec.name].grid].index(config.name)
    return (
        f"python -m parity_tests bisect {spec.name} --cases {options.cases} "
        f"--case {case.name} --config {place} --lane {lane} --seed {options.seed}"
    )
