"""The command line: `python -m mutation`, or with patterns of mutants, `"jraphx_eqx.ops.*"`."""

import argparse
import fnmatch
import random
import subprocess
import sys

from . import mutants
from .explained import EXPLAINED

STEPS = ("parity", "tests")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("patterns", nargs="*", default=["*"], help="names of mutants")
    parser.add_argument("--sample", type=int, help="so many of them, at random")
    parser.add_argument("--keep", action="store_true", help="go on with the mutants of before")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        _judge(options.step)
        return 0
    if not options.keep:
        mutants.generate()
    chosen = [
        name
        for name in mutants.names()
        if any(fnmatch.fnmatch(name, pattern) for pattern in options.patterns)
    ]
    if options.sample:
        chosen = sorted(random.Random(0).sample(chosen, min(options.sample, len(chosen))))
    (mutants.FOLDER / "chosen").write_text("\n".join(chosen))
    for step in STEPS:
        _run(step)
    return _report(chosen)


def _run(step: str) -> None:
    """A step in a process of its own. A mutant that ends it is noted, and the rest goes on."""
    while status := subprocess.run([sys.executable, "-m", "mutation", "--step", step]).returncode:
        if status > 0:
            raise SystemExit(f"the step {step} failed")
        _note(step, _todo(step)[0], "killed", f"signal {-status}")


def _judge(step: str) -> None:
    mutants.activate()
    if step == "parity":
        from .by_parity import judge
    else:
        from .by_tests import judge
    todo = _todo(step)
    for done, (name, verdict, by) in enumerate(judge(todo), 1):
        _note(step, name, verdict, by)
        print(f"\r{step}: {done} of {len(todo)}", end="", flush=True)
    print()


def _todo(step: str) -> list[str]:
    chosen = (mutants.FOLDER / "chosen").read_text().split()
    if step == "tests":
        parity = _notes("parity")
        chosen = [name for name in chosen if parity[name][0] != "killed"]
    done = _notes(step)
    return [name for name in chosen if name not in done]


def _note(step: str, name: str, verdict: str, by: str) -> None:
    with (mutants.FOLDER / f"{step}.tsv").open("a") as file:
        print(name, verdict, " ".join(by.split())[:300], sep="\t", file=file)


def _notes(step: str) -> dict[str, tuple[str, str]]:
    path = mutants.FOLDER / f"{step}.tsv"
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: (verdict, by) for name, verdict, by in (line.split("\t") for line in lines)}


def _report(chosen: list[str]) -> int:
    parity, tests = _notes("parity"), _notes("tests")
    row = "{:22} {:>8} {:>10} {:>10} {:>10} {:>12}".format
    print(row("", "mutants", "by parity", "by tests", "equivalent", "unexplained"))
    unexplained = []
    for package in mutants.PACKAGES:
        mine = [name for name in chosen if mutants.package(name) == package]
        seen = [name for name in mine if parity[name][0] == "killed"]
        tested = [name for name in mine if tests.get(name, ("",))[0] == "killed"]
        left = [name for name in mine if name not in {*seen, *tested}]
        open_ = [name for name in left if mutants.change(name) not in EXPLAINED]
        print(row(package, *map(len, (mine, seen, tested)), len(left) - len(open_), len(open_)))
        unexplained += open_
    for name in unexplained:
        function, before, after = mutants.change(name)
        print(f"\n{name}\n  {function}\n- {before}\n+ {after}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
