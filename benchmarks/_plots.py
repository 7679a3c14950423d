"""Pictures of the results."""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from ._targets import Record, cells, ratio, value
from ._workloads import FRAMEWORKS, OURS

COLOURS = dict(zip(FRAMEWORKS, ("C0", "C3", "C1", "C4", "C2"), strict=True))


def draw(records: list[Record], folder: pathlib.Path) -> list[str]:
    """Writes one SVG for each picture that the records suffice for; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    pictures = {"ratios": _ratios, "scaling": _scaling, "memory": _bars, "compile": _bars}
    # The same records give the same file.
    with plt.rc_context({"svg.hashsalt": "benchmarks", "font.size": 9}):
        for name, picture in pictures.items():
            figure = picture(records, name)
            if figure is not None:
                path = folder / f"{name}.svg"
                figure.savefig(path, metadata={"Date": None}, facecolor="white")
                # Matplotlib leaves blanks at the ends of lines.
                lines = path.read_text().splitlines()
                path.write_text("\n".join(line.rstrip() for line in lines) + "\n")
                plt.close(figure)
                drawn.append(name)
    return drawn


def _ratios(records, _):
    """Every cell of the grid as a dot: what we take, divided by what another takes."""
    timed = [r for r in records if r["part"] in ("pools", "layers", "classifier", "real")]
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for cell in cells(timed):
        record = next(iter(cell.values()))
        row = found.setdefault((record["operator"], record["pass"]), {})
        for framework in FRAMEWORKS:
            number = None if framework == OURS else ratio(cell, framework)
            if number is not None:
                row.setdefault(framework, []).append(number)
    found = {key: row for key, row in found.items() if row}
    if not found:
        return None
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.28 * len(found)), layout="constrained")
    shown = set()
    for height, row in enumerate(found.values()):
        for place, (framework, numbers) in enumerate(row.items()):
            label = None if framework in shown else framework
            shown.add(framework)
            heights = [height + 0.16 * (place - 1.5)] * len(numbers)
            axes.plot(numbers, heights, "o", ms=3, color=COLOURS[framework], label=label)
    axes.set_yticks(range(len(found)), [f"{operator}, {way}" for operator, way in found])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="black", lw=0.8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("our time / their time (left of the line we are faster)")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def _scaling(records, _):
    """Seconds against nodes, one panel for each operator and kind of input."""
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for record in records:
        if record["part"] == "scaling" and "seconds" in record:
            kind = "one graph" if record["graphs"] == 1 else f"graphs of {record['nodes']}"
            lines = panels.setdefault(f"{record['operator']}, {kind}", {})
            point = (record["graphs"] * record["nodes"], value(record))
            lines.setdefault(record["framework"], []).append(point)
    if not panels:
        return None
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    size = (3.4 * columns, 2.8 * rows + 0.4)
    figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    shown = set()
    for axes, (title, lines) in zip(grid.flat, panels.items(), strict=False):
        for framework, points in lines.items():
            label = None if framework in shown else framework
            shown.add(framework)
            axes.loglog(*zip(*points, strict=True), ".-", color=COLOURS[framework], label=label)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("nodes")
        axes.set_ylabel("seconds")
        axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def _bars(records, part):
    grid = cells([r for r in records if r["part"] == part])
    names = [f for f in FRAMEWORKS if any(f in cell and _known(cell[f]) for cell in grid)]
    if not names:
        return None
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.42 * len(grid)), layout="constrained")
    scale = 2**-30 if part == "memory" else 1.0
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        points = [(i, cell[name]) for i, cell in enumerate(grid) if name in cell]
        points = [(i, scale * value(r)) for i, r in points if _known(r)]
        heights = [i + width * (place - (len(names) - 1) / 2) for i, _ in points]
        axes.barh(heights, [v for _, v in points], width, color=COLOURS[name], label=name)
    axes.set_yticks(range(len(grid)), [next(iter(cell.values()))["operator"] for cell in grid])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    if part == "memory":
        axes.set_xlabel("GiB at the peak")
    else:
        axes.set_xscale("log")
        axes.set_xlabel("seconds to the first result")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def _known(record):
    return value(record) is not None
