"""Every operator against PyTorch Geometric, on the handwritten digits as graphs of pixels."""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jraphx_eqx.parity import LANES, Result, render

from ._work import compare, size
from .catalogue import SPECS

# Most of the time goes into XLA's compiler, so the operators with the most programs start first.
ORDER = ("SAGPooling", "TopKPooling", "GATConv")


def main(argv: list[str] | None = None) -> int:
    """Runs the comparison, prints one row per operator; 0 only if everything agrees."""
    options = _options(argv)
    names = options.operator or list(SPECS)
    console = Console(width=None if sys.stdout.isatty() else 120)
    results = {}
    with Progress(*_columns(), console=console) as progress:
        total = sum(size(name, options) for name in names)
        task = progress.add_task("0 of 0 operators", total=total)
        for name, result in _results(names, options, lambda: progress.advance(task)):
            results[name] = result
            progress.update(task, description=f"{len(results)} of {len(names)} operators")
    whole = Result()
    for name in names:
        whole.extend(results[name])
    console.print(render(whole))
    if options.json:
        whole.save(options.json)
    return whole.exit_code


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m parity_tests", description=__doc__)
    add = parser.add_argument
    add("--operator", action="append", choices=list(SPECS), help="may be given several times")
    add("--lane", action="append", choices=LANES, help="default: both")
    add("--cases", choices=("digits", "random", "corner"), default="digits")
    add("--case", help="only the case of this name, with every configuration")
    add("--configs", type=int, default=6, help="configurations per operator; 6 by default")
    add("--seed", type=int, default=0, help="of weights, cotangents, jitter and random graphs")
    add("--quick", action="store_true", help="three batches and three configurations")
    add("--jobs", type=int, default=min(os.cpu_count() or 1, 4), help="processes")
    add("--json", metavar="PATH", help="write every record to this file")
    options = parser.parse_args(argv)
    if options.quick:
        options.configs = min(options.configs, 3)
    return options


def _results(
    names: list[str], options: argparse.Namespace, progress: Callable[[], None]
) -> Iterator[tuple[str, Result]]:
    """The results by operator, as they come."""
    if options.jobs <= 1 or len(names) == 1:
        for name in names:
            yield name, compare(name, options, progress)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(options.jobs, len(names)), context) as pool:
        first = sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
        futures = {pool.submit(compare, name, options): name for name in first}
        for future in as_completed(futures):
            for _ in range(size(futures[future], options)):
                progress()
            yield futures[future], future.result()


def _columns():
    text = TextColumn("{task.description}")
    return text, BarColumn(), MofNCompleteColumn(), TextColumn("batches"), TimeElapsedColumn()


if __name__ == "__main__":
    sys.exit(main())
