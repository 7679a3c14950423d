"""Rewrites the part of a page of the documentation that shows results."""

import os
import pathlib

from ._machine import HUGE_PAGES, KEEP_MEMORY
from ._tables import TITLES, failures, markdown, part, summary

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
CAPTIONS = {
    "ratios": "Ratios of times, every cell of the grid",
    "scaling": "Time against the number of nodes",
    "memory": "Peak memory",
    "compile": "Time to the first result",
}


def rewrite(page: pathlib.Path, results: dict, plots: pathlib.Path) -> None:
    """Puts the results between the two marks; the text around them stays."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no lines {BEGIN} and {END} to write between")
    folder = os.path.relpath(plots, page.parent).replace(os.sep, "/")
    drawn = [name for name in CAPTIONS if (plots / f"{name}.svg").is_file()]
    page.write_text(f"{before}{BEGIN}\n\n{block(results, folder, drawn)}\n\n{END}{after}")


def block(results: dict, folder: str, drawn: list[str]) -> str:
    """Everything that the page says about one run."""
    machine, records = results["machine"], results["records"]
    parts = [_where(machine, results)]
    if machine.get("device", "cpu") == "cpu":  # for which alone there are targets
        parts += ["### Targets", markdown(summary(records))]
    parts += [f"![{CAPTIONS[name]}]({folder}/{name}.svg)" for name in drawn]
    for name, title in TITLES.items():
        if any(record["part"] == name for record in records):
            parts += [f"### {title}", markdown(part(records, name))]
    missing = [*results["skipped"], *failures(records)]
    if missing:
        lines = "\n".join(f"- {line}" for line in missing)
        parts += ["### Not measured", lines.replace("<", "&lt;")]
    return "\n\n".join(parts)


def _where(machine, results):
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    device = machine.get("device", "cpu")
    gpu = "" if device == "cpu" else f"**{device}**, with "
    text = (
        f"Measured on {machine['date']}: {gpu}{machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}; {versions}."
    )
    if results["busy"] > 0.15:
        share = f"{100 * results['busy']:.0f} %"
        text += f"\n\n**The machine was not idle: others used {share} of its cores at the start.**"
    if results["options"].get("passive"):
        text += "\n\nTorch's threads slept while they waited (`OMP_WAIT_POLICY=passive`)."
    if results["options"].get("huge_pages"):
        text += f"\n\nLarge buffers of all frameworks were in huge pages (`{HUGE_PAGES}`)."
    if results["options"].get("keep_memory"):
        text += f"\n\nNo framework gave memory back to the system (`GLIBC_TUNABLES={KEEP_MEMORY}`)."
    if results["options"].get("quick"):
        text += "\n\nA quick run: few sizes, few calls."
    return text
