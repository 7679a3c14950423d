import argparse
import json
import os
import platform
import statistics

from rich.console import Console
from rich.table import Table

from ._worker import Worker

SIZES = [(128, 32), (1024, 32), (512, 256), (4, 20_000)]
FRAMEWORKS = {"ours": "_ours", "PyG": "_pyg", "JraphX": "_jraphx"}


def main() -> None:
    """Prints the median times, and ours as a ratio of the others'; below 1 we are faster."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--turns", type=int, default=5, help="turns of each framework [5]")
    parser.add_argument("--calls", type=int, default=5, help="timed calls in a turn [5]")
    parser.add_argument("--seconds", type=float, default=1.0, help="time limit of a turn [1]")
    parser.add_argument("--quick", action="store_true", help="only the smallest batch")
    parser.add_argument("--json", metavar="FILE", help="also write all times to FILE")
    options = parser.parse_args()
    console = Console()
    console.print(f"{platform.machine()}, {os.cpu_count()} cores, float32")
    workers = {name: Worker(f"benchmarks.{module}") for name, module in FRAMEWORKS.items()}
    records = []
    for num_graphs, num_nodes in SIZES[:1] if options.quick else SIZES:
        known = {name: worker.prepare(num_graphs, num_nodes) for name, worker in workers.items()}
        table = Table("operator", "pass", *(f"{name} (ms)" for name in FRAMEWORKS))
        for name in others():
            table.add_column(f"/ {name}")
        table.title = f"{num_graphs} x {num_nodes} nodes, 4 edges a node, 64 features"
        for operation in known["ours"]:
            able = {name: workers[name] for name in FRAMEWORKS if operation in known[name]}
            times = interleaved(able, operation, options)
            table.add_row(*operation, *columns(times))
            for name, seconds in times.items():
                what = dict(zip(("operator", "pass"), operation, strict=True))
                size = {"graphs": num_graphs, "nodes": num_nodes}
                records.append({**size, **what, "framework": name, "seconds": seconds})
        console.print(table)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(records, file, indent=1)


def interleaved(
    workers: dict[str, Worker], operation: tuple[str, str], options: argparse.Namespace
) -> dict[str, list[float]]:
    """Times from all frameworks in turn, so that a slow spell of the machine hits all."""
    times = {name: [] for name in workers}
    for _ in range(options.turns):
        for name, worker in workers.items():
            times[name] += worker.time(operation, options.calls, options.seconds)
    return times


def columns(times: dict[str, list[float]]) -> list[str]:
    """Median milliseconds of each framework, then our ratios to the others."""
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    milliseconds = [f"{1e3 * medians[n]:.2f}" if n in medians else "-" for n in FRAMEWORKS]
    ratios = [f"{medians['ours'] / medians[n]:.3f}" if n in medians else "-" for n in others()]
    return milliseconds + ratios


def others() -> list[str]:
    return [name for name in FRAMEWORKS if name != "ours"]


if __name__ == "__main__":
    main()
