"""Every operator against PyTorch Geometric, on the handwritten digits as graphs of pixels."""

import argparse
import dataclasses
import functools
import sys
from typing import Literal

from jraphx_eqx.parity import Case, graphs, LANES, pairs, render, Result, run, Spec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .catalogue import FEATURES, SPECS
from .digits import digit_cases
from .divergences import DIVERGENCES


def main(argv: list[str] | None = None) -> int:
    """Runs the comparison, prints one row per operator; 0 only if everything agrees."""
    options = _options(argv)
    specs = [_spec(name, options) for name in options.operator or SPECS]
    cases = _cases(options)
    total = sum(len(pairs(spec, cases, _pairing(options))) for spec in specs)
    result = Result()
    console = Console(width=None if sys.stdout.isatty() else 120)
    with Progress(*_columns(), console=console) as progress:
        task = progress.add_task("", total=total)
        for spec in specs:
            progress.update(task, description=spec.name)
            result.extend(_compare(spec, cases, options, lambda: progress.advance(task)))
    console.print(render(result))
    if options.json:
        result.save(options.json)
    return result.exit_code


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m parity_tests", description=__doc__)
    add = parser.add_argument
    add("--operator", action="append", choices=list(SPECS), help="may be given several times")
    add("--lane", action="append", choices=LANES, help="default: both")
    add("--cases", choices=("digits", "random", "corner"), default="digits")
    add("--case", help="only the case of this name, with every configuration")
    add("--seed", type=int, default=0, help="of weights, cotangents, jitter and random graphs")
    add("--quick", action="store_true", help="a few batches instead of all")
    add("--json", metavar="PATH", help="write every record to this file")
    return parser.parse_args(argv)


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


def _spec(name: str, options: argparse.Namespace) -> Spec:
    spec = SPECS[name]
    return dataclasses.replace(spec, grid=spec.grid[:3]) if options.quick else spec


def _pairing(options: argparse.Namespace) -> Literal["product", "rotate"]:
    return "product" if options.case else "rotate"


def _compare(spec: Spec, cases: list[Case], options: argparse.Namespace, progress) -> Result:
    return run(
        spec,
        cases,
        lanes=options.lane or LANES,
        pairing=_pairing(options),
        seed=options.seed,
        divergences=DIVERGENCES,
        repro=functools.partial(_repro, options),
        progress=progress,
    )


def _repro(options, spec, config, case, lane) -> str:
    return (
        f"python -m parity_tests --operator {spec.name} --cases {options.cases} "
        f"--case {case.name} --lane {lane} --seed {options.seed}"
    )


def _columns():
    return TextColumn("{task.description:18}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()


if __name__ == "__main__":
    sys.exit(main())
