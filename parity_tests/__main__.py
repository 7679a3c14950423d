"""The command line: `python -m parity_tests --help`."""

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from jraphx_eqx.parity import BadReferences, Result, UnreachedFault, bisect
from jraphx_eqx.report import drift, render, render_drift, to_html

from . import _work
from .catalogue import FAULTS, LIVE, SPECS
from .recorded import FOLDER, LANES, record_operator

# Enumerations of what the catalogue has, which only a running program knows.
# pyright: reportInvalidTypeForm=false
Operator = StrEnum("Operator", {name: name for name in SPECS})
Lane = StrEnum("Lane", {name: name for name in ("exact", "f64", "f32", "metamorphic")})
Cases = StrEnum("Cases", {name: name for name in ("digits", "random", "corner")})

app = typer.Typer(
    help="Every operator against PyTorch Geometric. Without a command: the main job, on the "
    "handwritten digits as graphs of pixels.",
    epilog="Exit codes: 0 all agree, 1 something failed, 2 something was not (or not really) "
    "compared or a fault survived, 3 references are damaged or stale.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
Json = Annotated[Path | None, typer.Option("--json", help="Write every record to this file.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write the report to this file.")]
Jobs = Annotated[int, typer.Option(help="Processes.", min=1)]
Seed = Annotated[int, typer.Option(help="Of weights, cotangents, jitter and random graphs.")]
Operators = Annotated[
    list[Operator] | None,
    typer.Option("--operator", metavar="NAME", help=f"Default: all. One of {', '.join(SPECS)}."),
]
References = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Where they are.", show_default="ours")
]
JOBS = _work.Options().jobs
# The seconds that an operator may take, with programs that were not compiled before.
BUDGET = 6


@app.callback(invoke_without_command=True)
def main_job(
    context: typer.Context,
    operator: Operators = None,
    lane: Annotated[list[Lane] | None, typer.Option(help="Default: exact, f64 and f32.")] = None,
    cases: Annotated[Cases, typer.Option(help="On which graphs.")] = Cases.digits,
    case: Annotated[
        str | None, typer.Option(help="Only the case of this name, with every configuration.")
    ] = None,
    configs: Annotated[int, typer.Option(help="Configurations per operator.", min=1)] = 6,
    seed: Seed = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Three batches and three configurations.")
    ] = False,
    jobs: Jobs = JOBS,
    json: Json = None,
    html: Html = None,
) -> None:
    """Compares every operator with PyG and prints one row for each."""
    if context.invoked_subcommand is not None:
        return
    lanes = tuple(map(str, lane)) if lane else _work.LANES
    options = _work.Options(lanes, cases.value, case, configs, seed, quick, jobs)
    try:
        _work.chosen_cases(options)
    except _work.UnknownCase as error:
        raise typer.BadParameter(str(error)) from None
    work = functools.partial(_work.compare, options)
    names = operator or LIVE
    result = _with_progress(names, jobs, work, lambda name: _work.size(name, options))
    _finish(result, json, html)


@app.command("bisect")
def bisect_command(
    operator: Operator,
    case: Annotated[str, typer.Option(help="The name of the case.")],
    config: Annotated[int, typer.Option(help="The number of the configuration, from 0.", min=0)],
    cases: Annotated[Cases, typer.Option(help="Among which graphs.")] = Cases.digits,
    lane: Lane = Lane.f64,
    seed: Seed = 0,
) -> None:
    """Repeats one comparison and names the first step that differs from PyG."""
    options = _work.Options((lane,), cases.value, case, None, seed)
    spec = _work.chosen_spec(operator, options)
    if config >= len(spec.grid):
        raise typer.BadParameter(f"{operator} has {len(spec.grid)} configurations, from 0")
    try:
        [chosen] = _work.chosen_cases(options)
    except _work.UnknownCase as error:
        raise typer.BadParameter(str(error)) from None
    command = " ".join(["python -m parity_tests", *sys.argv[1:]])
    found = bisect(spec, spec.grid[config], chosen, lane=lane, seed=seed, repro=command)
    typer.echo(str(found))
    raise typer.Exit(0 if found.stage is None else 1)


@app.command()
def report(
    result: Annotated[Path, typer.Argument(help="The JSON file of a run.", exists=True)],
    html: Html = None,
    before: Annotated[
        Path | None, typer.Option(help="The JSON file of an older run.", exists=True)
    ] = None,
) -> None:
    """Renders the JSON of a run again, and what changed since an older one."""
    whole = Result.read(result)
    old = None if before is None else Result.read(before)
    console = _console()
    console.print(render(whole))
    if old:
        console.print(render_drift(drift(old, whole)))
    if html:
        html.write_text(to_html(whole, before=old))


@app.command("record")
def record_command(
    operator: Operators = None,
    bless: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Why references may change; kept with them."),
    ] = None,
    references: References = FOLDER,
) -> None:
    """Writes down what PyG computes. What exists is replaced only if PyG still gives it."""
    names = [str(name) for name in operator or SPECS]
    with Progress(*_columns(), console=_console()) as bar:
        text = f"0 of {len(names)} operators"
        task = bar.add_task(text, total=sum(map(_work.replay_size, names)))
        for done, name in enumerate(names, 1):
            with _references_or_exit():
                at = {"bless": bless, "folder": references}
                record_operator(name, **at, progress=lambda: bar.advance(task))
            bar.update(task, description=f"{done} of {len(names)} operators")


@app.command("check")
def check_command(
    operator: Operators = None,
    lane: Annotated[list[Lane] | None, typer.Option(help="Default: exact, f64 and f32.")] = None,
    references: References = FOLDER,
    optimized: Annotated[
        bool,
        typer.Option(
            "--optimized",
            help="Compile everything in float32 as users run it. Takes longer.",
        ),
    ] = False,
    jobs: Jobs = JOBS,
    json: Json = None,
    html: Html = None,
) -> None:
    """Compares every operator with the references. Needs no PyTorch."""
    lanes = tuple(map(str, lane)) if lane else LANES
    work = functools.partial(_work.replay, lanes, references, not optimized)
    with _references_or_exit():
        result = _with_progress(operator or SPECS, jobs, work, _work.replay_size)
    _finish(result, json, html)


@app.command("mutate")
def mutate_command(
    operator: Operators = None,
    fault: Annotated[
        list[str] | None, typer.Option(help=f"A fault's name. Default: all {len(FAULTS)}.")
    ] = None,
    lane: Annotated[list[Lane] | None, typer.Option(help="Default: all lanes.")] = None,
    jobs: Jobs = JOBS,
    json: Json = None,
    html: Html = None,
) -> None:
    """Injects faults into the operators and reports which check notices each. Needs no PyTorch."""
    names = [str(name) for name in operator or SPECS]
    try:
        portions = _work.chosen_faults(names, fault or ())
    except _work.UnknownFault as error:
        raise typer.BadParameter(str(error)) from None
    if not portions:
        raise typer.BadParameter(f"{fault} concern none of these operators: {', '.join(names)}")
    whole = Result()
    with Progress(*_columns("faults"), console=_console()) as bar, _references_or_exit():
        task = bar.add_task("", total=sum(len(places) for _, places in portions))
        for result in _work.by_portion(portions, list(map(str, lane or Lane)), jobs):
            whole.extend(result)
            bar.advance(task, len(result.kills))
    places = {fault.name: place for place, fault in enumerate(FAULTS)}
    whole.kills.sort(key=lambda kill: (list(SPECS).index(kill.operator), places[kill.fault]))
    _work.explain_equivalents(whole)
    _finish(whole, json, html)


@contextmanager
def _references_or_exit() -> Iterator[None]:
    try:
        yield
    except BadReferences as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(3) from None
    except UnreachedFault as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def _with_progress(operators, jobs: int, work, length) -> Result:
    """All operators with a progress bar; their results in order."""
    names = [str(name) for name in operators]
    results, seconds = {}, {}
    with Progress(*_columns(), console=_console()) as bar:
        task = bar.add_task("0 of 0 operators", total=sum(map(length, names)))
        done = _work.by_operator(names, jobs, work, length, lambda: bar.advance(task))
        for name, result, taken in done:
            results[name], seconds[name] = result, taken
            bar.update(task, description=f"{len(results)} of {len(names)} operators")
    whole = Result()
    for name in names:
        whole.extend(results[name])
    _console().print(_costs(seconds))
    return whole


def _costs(seconds: dict[str, float]) -> Table:
    """What each operator costs, so that a new one that costs too much is seen."""
    table = Table("operator", "seconds", "", box=SIMPLE_HEAD, show_edge=False)
    for name, taken in sorted(seconds.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{taken:.1f}", "above the budget" if taken > BUDGET else "")
    table.caption = f"of the processor; {sum(seconds.values()):.0f} in all; budget {BUDGET} each"
    return table


def _finish(result: Result, json: Path | None, html: Path | None) -> None:
    _console().print(render(result))
    if json:
        result.save(json)
    if html:
        html.write_text(to_html(result))
    raise typer.Exit(result.exit_code)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 120)


def _columns(unit: str = "batches"):
    text = TextColumn("{task.description}")
    return text, BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn()


if __name__ == "__main__":
    app(prog_name="python -m parity_tests")
