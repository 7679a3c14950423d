import argparse
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from . import _jraphx, _ours, _pyg
from ._inputs import random_batch

SIZES = [(128, 32), (1024, 32), (512, 256), (4, 20_000)]
FRAMEWORKS = {"ours": _ours, "PyG": _pyg, "JraphX": _jraphx}


def main() -> None:
    """Prints the median times, and ours as a ratio of the others'; below 1 we are faster."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--repeats", type=int, default=11, help="runs of each function [11]")
    parser.add_argument("--seconds", type=float, default=5.0, help="time limit of each one [5]")
    parser.add_argument("--quick", action="store_true", help="only the smallest batch")
    parser.add_argument("--json", metavar="FILE", help="also write all times to FILE")
    args = parser.parse_args()
    console = Console()
    console.print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, float32")
    records = []
    for num_graphs, num_nodes in SIZES[:1] if args.quick else SIZES:
        inputs = random_batch(num_graphs, num_nodes)
        operations = {name: module.operations(inputs) for name, module in FRAMEWORKS.items()}
        table = Table(
            "operator", "pass", "ours (ms)", "PyG (ms)", "JraphX (ms)", "/ PyG", "/ JraphX"
        )
        table.title = f"{inputs.name} nodes, 4 edges a node, 64 features"
        for operator, direction in operations["ours"]:
            functions = {
                name: functions[operator, direction]
                for name, functions in operations.items()
                if (operator, direction) in functions
            }
            times = interleaved(functions, args.repeats, args.seconds)
            records += [
                dict(
                    batch=inputs.name,
                    operator=operator,
                    direction=direction,
                    framework=name,
                    seconds=t,
                )
                for name, t in times.items()
            ]
            table.add_row(operator, direction, *columns(times))
        console.print(table)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(records, file, indent=1)


def interleaved(
    functions: dict[str, Callable], repeats: int, seconds: float
) -> dict[str, list[float]]:
    """Times of each function, called in turn, so that a slow spell of the machine hits all.

    A function that has used up `seconds` is not called again.
    """
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            if sum(times[name]) < seconds:
                start = time.perf_counter()
                function()
                times[name].append(time.perf_counter() - start)
    return times


def columns(times: dict[str, list[float]]) -> list[str]:
    medians = {name: statistics.median(values) for name, values in times.items()}
    milliseconds = [f"{1e3 * medians[n]:.2f}" if n in medians else "-" for n in FRAMEWORKS]
    others = [name for name in FRAMEWORKS if name != "ours"]
    ratios = [f"{medians['ours'] / medians[n]:.3f}" if n in medians else "-" for n in others]
    return milliseconds + ratios


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
