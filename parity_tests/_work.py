"""One operator of the main job, so that several can run in processes of their own."""

import argparse
import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

from jraphx_eqx.parity import Case, Config, Result, Spec, graphs, pairs, run

from .catalogue import FEATURES, SPECS
from .digits import digit_cases
from .divergences import DIVERGENCES


def compare(
    name: str, options: argparse.Namespace, progress: Callable[[], None] = lambda: None
) -> Result:
    """Runs one operator as the options say."""
    import torch

    if options.jobs > 1:
        torch.set_num_threads(1)
    return run(
        _spec(name, options),
        _cases(options),
        lanes=options.lane or None,
        pairing=_pairing(options),
        seed=options.seed,
        divergences=DIVERGENCES,
        repro=functools.partial(_repro, options),
        progress=progress,
    )


def size(name: str, options: argparse.Namespace) -> int:
    """How many batches `compare` will run."""
    return len(pairs(_spec(name, options), _cases(options), _pairing(options)))


def _spec(name: str, options: argparse.Namespace) -> Spec:
    spec = SPECS[name]
    return dataclasses.replace(spec, grid=spec.grid[: options.configs])


def _cases(options: argparse.Namespace) -> list[Case]:
    if options.cases == "digits":
        cases = list(digit_cases())
    elif options.cases == "corner":
        cases = graphs.corners(options.seed, features=FEATURES)
    else:
        cases = [graphs.random(options.seed + i, features=FEATURES) for i in range(12)]
    if options.case:
        cases = [case for case in cases if case.name == options.case]
    return cases[:3] if options.quick else cases


def _pairing(options: argparse.Namespace) -> Literal["product", "rotate"]:
    return "product" if options.case else "rotate"


def _repro(options: argparse.Namespace, spec: Spec, config: Config, case: Case, lane: str) -> str:
    return (
        f"python -m parity_tests --operator {spec.name} --cases {options.cases} "
        f"--configs {options.configs} --case {case.name} --lane {lane} --seed {options.seed}"
    )
