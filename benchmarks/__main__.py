import json
import os
import pathlib
import signal
import time
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table as RichTable

from . import _measure, _page, _tables, _workloads
from ._datasets import available
from ._machine import (
    BUSY,
    HUGE_PAGES,
    KEEP_MEMORY,
    busy_before_us,
    machine,
    no_glibc,
    no_huge_pages,
)
from ._worker import Failed
from ._workloads import SCATTER

Part = StrEnum("Part", {name: name for name in _tables.TITLES})
Device = StrEnum("Device", {"cpu": "cpu", "gpu": "gpu"})
Framework = StrEnum("Framework", {name: name for name in _workloads.FRAMEWORKS})
console = Console()
if not console.is_terminal:
    console = Console(width=150)


def main(
    only: Annotated[list[Part] | None, typer.Option(help="Parts to run [default: all].")] = None,
    device: Annotated[Device, typer.Option(help="What all frameworks run on.")] = Device.cpu,
    framework: Annotated[
        list[Framework] | None, typer.Option(help="Who takes part [default: all].")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few sizes and few calls.")] = False,
    passive: Annotated[
        bool,
        typer.Option("--passive", help="Torch's threads sleep while they wait: for busy machines."),
    ] = False,
    huge_pages: Annotated[
        bool,
        typer.Option("--huge-pages", help="Large buffers of all frameworks are in huge pages."),
    ] = False,
    keep_memory: Annotated[
        bool,
        typer.Option("--keep-memory", help="No framework gives memory back to the system."),
    ] = False,
    torch_scatter: Annotated[
        str | None, typer.Option(help="Folder into which torch-scatter was installed.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(envvar="TU_DATASETS", help="Folder of DD.npz and REDDIT-BINARY.npz."),
    ] = None,
    json_file: Annotated[
        pathlib.Path | None, typer.Option("--json", help="Write all results to this file.")
    ] = None,
    read: Annotated[
        pathlib.Path | None, typer.Option(help="Measure nothing; report this file's results.")
    ] = None,
    plots: Annotated[pathlib.Path | None, typer.Option(help="Folder for the pictures.")] = None,
    page: Annotated[
        pathlib.Path | None, typer.Option(help="Page whose results are rewritten; needs --plots.")
    ] = None,
) -> None:
    """Times our pools beside those of PyG and JraphX, on the same inputs, by turns."""
    if page is not None and plots is None:
        raise typer.BadParameter("--page shows the pictures, so it also needs --plots FOLDER")
    if huge_pages and (problem := no_huge_pages()):
        raise typer.BadParameter(f"--huge-pages: {problem}")
    if keep_memory and (problem := no_glibc(2, 26)):
        raise typer.BadParameter(f"--keep-memory: {problem}")
    if read is not None:
        results = json.loads(read.read_text())
        for part in dict.fromkeys(record["part"] for record in results["records"]):
            show(_tables.part(results["records"], part))
    else:
        options = {"quick": quick, "passive": passive, "huge_pages": huge_pages}
        options |= {"keep_memory": keep_memory, "device": str(device)}
        options["frameworks"] = [str(name) for name in framework or Framework]
        results = measure(only or list(Part), options, torch_scatter, data)
    show(_tables.summary(results["records"]))
    for line in [*results["skipped"], *_tables.failures(results["records"])]:
        console.print(f"not measured: {line}", style="yellow", markup=False)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(dump(results))
    if plots is not None:
        from ._plots import draw

        draw(results["records"], plots)
    if page is not None:
        _page.rewrite(page, results, plots)


def measure(parts, options, scatter, folder) -> dict:
    """Runs the parts; prints the table of each when it is done.

    Who stops it, with a signal, gets what was measured until then.
    """
    start = time.perf_counter()
    busy = busy_before_us()
    if busy > BUSY:
        console.print(
            f"Others use {100 * busy:.0f} % of the cores: times will be wrong, torch's above all, "
            "whose threads wait for each other (--passive helps).",
            style="bold red",
        )
    # A limit for one process's sake would slow torch here.
    os.environ.pop("OMP_NUM_THREADS", None)
    if options["passive"]:
        os.environ["OMP_WAIT_POLICY"] = "passive"
    tunables = [HUGE_PAGES] * options["huge_pages"] + [KEEP_MEMORY] * options["keep_memory"]
    if tunables:
        os.environ["GLIBC_TUNABLES"] = ":".join(tunables)
    datasets, missing = available(folder)
    skipped = [f"{name}: no {name}.npz in --data ({folder})" for name in missing]
    frameworks = tuple(options["frameworks"])
    team = _measure.Team(scatter, folder, options["device"], frameworks)
    skipped += [f"{name}: not chosen" for name in _workloads.FRAMEWORKS if name not in frameworks]
    if SCATTER in frameworks and not team.has(SCATTER):
        skipped.append(f"{SCATTER}: --torch-scatter names no folder that has it ({scatter})")
    try:
        device, versions = team.device(), team.versions()
    except Failed as error:
        team.stop()
        raise typer.BadParameter(f"--device {options['device']}: {error}") from None
    quick = options["quick"]
    unsteady = 1 if options["device"] == "gpu" else _measure.UNSTEADY
    pace = _measure.Pace(*((2, 3, 0.05) if quick else (3, 10, 0.12)), unsteady)
    records = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for part in parts:
            with console.status(f"{part} ..."):
                for record in _run(part, team, pace, quick, datasets):
                    records.append(record)
            show(_tables.part(records, part))
            console.print(f"{time.perf_counter() - start:.0f} s so far")
    except KeyboardInterrupt:
        show(_tables.part(records, part))
        skipped.append(f"what comes after the last of {part} here: the run was stopped")
    finally:
        team.stop()
    return {
        "machine": {**machine(), "device": device},
        "busy": round(busy, 2),
        "versions": versions,
        "options": {**options, "parts": [str(part) for part in parts]},
        "seconds": round(time.perf_counter() - start),
        "skipped": skipped,
        "records": records,
    }


def _run(part, team, pace, quick, datasets):
    match part:
        case "compile":
            for workload in _workloads.compiling(quick):
                yield from _measure.first_calls(team, workload)
        case "memory":
            for workload in _workloads.memory(quick):
                yield from _measure.peaks(team, workload)
        case "scaling":
            for series in _workloads.scaling(quick):
                yield from _measure.growing(team, series)
        case "real":
            for workload in _workloads.real(quick, datasets):
                yield from _measure.interleaved(team, workload, pace)
        case _:
            for workload in getattr(_workloads, part)(quick):
                yield from _measure.interleaved(team, workload, pace)


def show(table: _tables.Table) -> None:
    rich = RichTable(*table.header, title=table.title)
    for row in table.rows:
        rich.add_row(*row)
    console.print(rich)


def dump(results: dict) -> str:
    """JSON with one record on a line."""
    head = {key: value for key, value in results.items() if key != "records"}
    text = json.dumps(head, indent=1)[:-2]
    rows = ",\n  ".join(json.dumps(record) for record in results["records"])
    return f'{text},\n "records": [\n  {rows}\n ]\n}}\n'


if __name__ == "__main__":
    typer.run(main)
