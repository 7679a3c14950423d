from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .. import interop
from . import _data, _mapping
from ._checkpoint import into, load, load_torch, read
from ._factory import make_equinox, make_torch
from ._names import Names, parse
from ._output import console, error_console, print_error, shown
from ._problem import NOT_COMPARED, Problem, told
from ._write import check_output, write_whole

CODES = (
    "Exit codes: 0 done, or both sides agree; 1 the weights do not fit, or the sides differ; 2 "
    "wrong usage, or something cannot be read, imported or written; 3 something was not, or not "
    "really, compared."
)


class Lane(StrEnum):
    """What is computed in float64 or float32."""

    f64 = "f64"
    f32 = "f32"


Checkpoint = Annotated[
    Path, typer.Argument(help="A file of weights: .pt, .pth, .ckpt, .safetensors or .npz.")
]
Key = Annotated[
    str | None, typer.Option(help="The key of the state dict in a .pt file that holds more.")
]
Rename = Annotated[
    list[str] | None,
    typer.Option(
        "--rename",
        metavar="THEIRS=OURS",
        help="A name that is another one here; or a regular expression, and what replaces it.",
    ),
]
Drop = Annotated[
    list[str] | None,
    typer.Option(
        "--drop",
        metavar="PATTERN",
        help="Weights of the checkpoint to leave out: a name, or a regular expression.",
    ),
]

app = typer.Typer(
    help="Moves networks with their weights from PyTorch Geometric to Equinox, and proves it.",
    epilog=CODES,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command(epilog=f"Example: jraphx-eqx inspect model.pt. {CODES}")
def inspect(checkpoint: Checkpoint, key: Key = None) -> None:
    """Shows the weights of a checkpoint: name, shape, dtype, largest absolute value."""

    def work() -> None:
        found = read(checkpoint, key, parse([], []))
        console().print(_mapping.listing(found, checkpoint.name))
        size = sum(array.size for array in found.values())
        console().print(f"{len(found)} arrays, {size:,} numbers")
        _warn_of_infinities(found)

    _exit(work)


@app.command(
    epilog="Example: jraphx-eqx port model.pt --model mynet:Net -o model.safetensors. The network "
    "is what Net(), or Net(key=...), makes; it must have the shapes and dtypes of the checkpoint. "
    f"Without -o nothing is written. {CODES}"
)
def port(
    checkpoint: Checkpoint,
    model: Annotated[str, typer.Option(help="The Equinox network, as package.module:factory.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A .safetensors, .npz or .pt file.")
    ] = None,
    rename: Rename = None,
    drop: Drop = None,
    key: Key = None,
) -> None:
    """Loads a checkpoint into an Equinox network and writes it under the network's names.

    Prints which weight goes where. If a name, shape or dtype does not fit, it says which, writes
    nothing and exits with 1.
    """

    def work() -> None:
        names = parse(rename or [], drop or [])
        if output is not None:
            check_output(output)
        loaded = _ported(checkpoint, key, names, model)
        if output is None:
            console().print("All weights fit. Nothing was written: no -o was given.")
            return
        write_whole(interop.state_dict(loaded), output)
        console().print(f"All weights fit. Wrote {escape(shown(str(output)))}.")

    _exit(work)


@app.command(
    epilog="Example: jraphx-eqx verify --pyg theirs:Net --eqx ours:Net --checkpoint model.pt "
    "--data batch.npz --html report.html. The arrays of batch.npz have the names of the arguments "
    "of the PyTorch network's forward, for example x, edge_index and batch. Without --data it is "
    f"called with random graphs. {CODES}"
)
def verify(
    pyg: Annotated[str, typer.Option(help="The PyTorch network, as package.module:factory.")],
    eqx: Annotated[str, typer.Option(help="The Equinox network, as package.module:factory.")],
    data: Annotated[
        str | None,
        typer.Option(help="A .npz file, or package.module:function for a tuple of arrays."),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights of the PyTorch network. Default: initial ones.")
    ] = None,
    key: Key = None,
    rename: Rename = None,
    drop: Drop = None,
    lane: Annotated[list[Lane] | None, typer.Option(help="Default: both.")] = None,
    layers: Annotated[bool, typer.Option(help="Also compare each layer alone.")] = True,
    expect_zero: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="A regular expression for parameters whose gradient is zero by mathematics.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of initial weights and random graphs.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Write every record to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report to this file.")] = None,
) -> None:
    """Compares two whole networks with the same weights, and layer by layer.

    Outputs, and the gradients for all parameters and float inputs, must agree in float64 and in
    float32 within the rounding noise of the PyTorch network.
    """

    def work() -> None:
        from ..fit import verify as compare
        from ..report import render, to_html

        theirs = make_torch(pyg, seed)
        ours = make_equinox(eqx)
        if checkpoint is not None:
            load_torch(theirs, ours, checkpoint, key, parse(rename or [], drop or []))
        elif rename or drop:
            raise Problem("--rename and --drop are about --checkpoint")
        load(ours, into(ours, theirs.state_dict(), parse([], [])))
        network = _data.network(data, theirs, seed, expect_zero or [])
        lanes = tuple(map(str, lane or Lane))
        with _bar("layers") as bar:
            follow = _follow(bar)
            try:
                found = compare(ours, theirs, network, lanes=lanes, layers=layers, progress=follow)
            except Exception as error:  # of the PyTorch network itself, on these inputs
                text = f"{type(error).__name__}: {error}".splitlines()[0]
                raise Problem(f"the PyTorch network cannot be called with the data ({text})") from (
                    error
                )
        console().print(render(found.result))
        for name, reason in found.alone.items():
            line = (reason.splitlines() or [""])[0]
            console().print(escape(f"{name} was compared as part of the network only: {line}"))
        for line in _unjudged(found.result):
            console().print(escape(line))
        if found.first:
            console().print(escape(f"The first layer that differs is {found.first}."))
        with told(OSError):
            if json:
                found.result.save(json)
            if html:
                html.write_text(to_html(found.result), encoding="utf-8")
        code = found.result.exit_code
        raise typer.Exit(NOT_COMPARED if code == 2 else code)

    _exit(work)


@app.command(epilog=f"Example: jraphx-eqx demo -o digits.png. {CODES}")
def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The picture, as .png, .svg or .pdf.")
    ] = Path("demo.png"),
    epochs: Annotated[int, typer.Option(min=1, help="How often each graph is seen.")] = 30,
    seed: Annotated[int, typer.Option(help="Of initial weights and of orders.")] = 0,
) -> None:
    """Trains a classifier with two poolings on handwritten digits, and draws what they keep.

    The graphs come with scikit-learn, so nothing is downloaded. It takes less than two minutes on a
    CPU.
    """

    def work() -> None:
        from ._demo import run

        with _bar("epochs") as bar:
            task = bar.add_task("", total=epochs)

            def follow(epoch: int, loss: float, share: float) -> None:
                text = f"loss {loss:.3f}, test accuracy {100 * share:.1f} %"
                bar.update(task, description=text, completed=epoch)

            share, number = run(output, epochs, seed, follow)
        console().print(f"Test accuracy {100 * share:.1f} % on {number} digits.")
        console().print(f"Wrote {escape(shown(str(output)))}, what the poolings keep of three.")

    _exit(work)


def _unjudged(result: Any) -> list[str]:
    """What was listed instead of judged, one line for each tensor of the whole network."""
    from ..parity import Tensor

    lines = {}
    for record in result.of("UNJUDGED"):
        if record.operator == "network" and not Tensor.parse(record.tensor).direction:
            lines.setdefault(record.tensor, f"UNJUDGED {record.tensor}: {record.message}")
    return list(lines.values())


def _exit(work: Callable[[], None]) -> None:
    """Runs `work`; a `Problem` becomes one line on standard error and its exit code."""
    try:
        work()
    except Problem as problem:
        print_error(str(problem))
        raise typer.Exit(problem.code) from None


def _ported(checkpoint: Path, key: str | None, names: Names, model: str) -> Any:
    found = read(checkpoint, key, names)
    network = make_equinox(model)
    fitted = into(network, found, names)
    rows = _mapping.rows(interop.state_dict(network), fitted)
    console().print(_mapping.table(rows, f"{checkpoint.name} into {model}"))
    _warn_of_infinities(found)
    return load(network, fitted)


def _warn_of_infinities(found: dict[str, Any]) -> None:
    bad = [name for name, array in found.items() if not _mapping.finite(array)]
    if bad:
        names = shown(", ".join(bad))
        error_console().print(f"warning: not finite: {names}", markup=False)


def _follow(bar: Progress) -> Callable[[str, int, int], None]:
    task = bar.add_task("", total=None)

    def follow(name: str, done: int, total: int) -> None:
        bar.update(task, description=escape(name), completed=done, total=total)

    return follow


def _bar(unit: str) -> Progress:
    text = TextColumn("{task.description}")
    columns = (text, BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn())
    return Progress(*columns, console=error_console(), transient=True)
