"""One operator of a command, so that several can run in processes of their own."""

import dataclasses
import functools
import gc
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Literal

from jraphx_eqx.parity import Case, Config, Result, Spec, graphs, lanes_of, mutate, pairs, run

from .catalogue import DIVERGENCES, EQUIVALENT, FAULTS, FEATURES, OPERATORS, SPECS
from .digits import digit_cases
from .recorded import FOLDER, check_operator
from .recorded import cases as recorded_cases

LANES = ("exact", "f64", "f32")
Cases = Literal["digits", "random", "corner"]


# How many faults one process tries before it takes the next ones.
PORTION = 8
# For the processes that try faults. XLA warns of programs that were compiled on the same machine.
COMPILER = {
    "JAX_COMPILATION_CACHE_DIR": "",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


class UnknownCase(Exception):
    """There is no case of this name."""


class UnknownFault(Exception):
    """There is no fault of this name."""


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
) -> Iterator[tuple[str, Result, float]]:
    """`work(name, progress)` for all operators, in several processes; results as they come, each
    with the seconds of the processor that it took."""
    if jobs <= 1 or len(names) == 1:
        for name in names:
            yield name, *_timed(work, name, progress)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(names)), context, _collect_rarely) as pool:
        ordered = sorted(names, key=_by_time)
        futures = {pool.submit(_timed, work, name, _silent): name for name in ordered}
        for future in as_completed(futures):
            for _ in range(length(futures[future])):
                progress()
            yield futures[future], *future.result()


def _timed(work: Callable[..., Result], name: str, progress: Callable[[], None]):
    before = time.process_time()
    return work(name, progress), time.process_time() - before


def replay(
    lanes: tuple[str, ...],
    folder: Path,
    quick: bool,
    name: str,
    progress: Callable[[], None] = lambda: None,
) -> Result:
    """Compares one operator with its references. Does not import PyTorch."""
    return check_operator(name, lanes=lanes, folder=folder, quick=quick, progress=progress)


def replay_size(name: str) -> int:
    """How many batches `replay` will run."""
    return len(pairs(SPECS[name], recorded_cases(name), "rotate"))


def chosen_faults(operators: Sequence[str], names: Sequence[str]) -> list[tuple[str, list[int]]]:
    """The places in `FAULTS` of the faults to try, by operator; all where no name is given.

    They come in portions of a few, those of the slowest operators first.
    """
    unknown = set(names) - {fault.name for fault in FAULTS}
    if unknown:
        raise UnknownFault(f"there is no fault {min(unknown)!r}")
    portions = []
    for operator in sorted(operators, key=_by_time):
        chosen = [
            place
            for place, fault in enumerate(FAULTS)
            if operator in fault.operators and (not names or fault.name in names)
        ]
        portions += [(operator, chosen[i : i + PORTION]) for i in range(0, len(chosen), PORTION)]
    return portions


def by_portion(
    portions: Sequence[tuple[str, list[int]]], lanes: Sequence[str], jobs: int
) -> Iterator[Result]:
    """Tries the faults, in other processes; results as they come.

    Most programs are the same with a fault as without it, so compiled ones are kept on disk.
    """
    with tempfile.TemporaryDirectory() as cache:
        kept = {name: os.environ.get(name) for name in COMPILER}
        cache = kept["JAX_COMPILATION_CACHE_DIR"] or cache
        os.environ.update({**COMPILER, "JAX_COMPILATION_CACHE_DIR": cache})
        try:
            context = multiprocessing.get_context("spawn")
            # Not `_collect_rarely`: what is frozen cannot be found, to be changed.
            with ProcessPoolExecutor(min(jobs, len(portions)), context) as pool:
                futures = [pool.submit(_mutate, *portion, tuple(lanes)) for portion in portions]
                for future in as_completed(futures):
                    yield future.result()
        finally:
            for name, value in kept.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def _mutate(operator: str, places: list[int], lanes: tuple[str, ...]) -> Result:
    spec = SPECS[operator]
    return mutate(
        spec,
        [FAULTS[place] for place in places],
        references=FOLDER,
        lanes=[lane for lane in lanes if lane in lanes_of(spec)],
        divergences=DIVERGENCES,
    )


def explain_equivalents(result: Result) -> None:
    """Adds the reason to each equivalent fault. One without a reason has survived: perhaps no case
    has the input that it takes. So has one that was listed and is killed."""
    for kill in result.kills:
        reason = EQUIVALENT.get((kill.fault, kill.operator))
        if kill.verdict == "EQUIVALENT":
            kill.verdict = "EQUIVALENT" if reason else "SURVIVED"
            kill.message += f". {reason}" if reason else ", but no reason for it is listed"
        elif reason:
            kill.verdict, kill.message = "SURVIVED", f"listed as equivalent, but {kill.message}"


def _by_time(name: str) -> int:
    """Those that take longest start first, so that no process waits for another in the end."""
    return -OPERATORS[name].cost


def _collect_rarely() -> None:
    """What is imported or compiled stays, so there is little garbage among what is looked at."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


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
