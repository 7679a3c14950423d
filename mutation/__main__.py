"""The command line: `python -m mutation`, or with patterns of mutants, `"jraphx_eqx.ops.*"`."""

import argparse
import fnmatch
import math
import random
import subprocess
import sys
from collections.abc import Iterable, Sequence

from . import mutants
from .explained import EXPLAINED

STEPS = ("parity", "tests")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("patterns", nargs="*", default=["*"], help="names of mutants")
    parser.add_argument("--sample", type=int, help="so many of each module, at random")
    parser.add_argument("--petty", action="store_true", help="also None in the place of a value")
    parser.add_argument("--patience", type=int, help="compare so many configurations at most")
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="tests of so many seconds at most"
    )
    parser.add_argument("--keep", action="store_true", help="go on with the mutants of before")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        _judge(options)
        return 0
    if not options.keep:
        mutants.generate()
    chosen = [
        name
        for name in mutants.names()
        if any(fnmatch.fnmatch(name, pattern) for pattern in options.patterns)
        and (options.petty or not mutants.is_petty(name))
    ]
    if options.sample:
        chosen = [name for group in _modules(chosen).values() for name in _few(group, options)]
    (mutants.FOLDER / "chosen").write_text("\n".join(chosen))
    for step in STEPS:
        _run(step, options)
    return _report(chosen)


def _modules(names: Iterable[str]) -> dict[str, list[str]]:
    found = {}
    for name in names:
        found.setdefault(mutants.module(name), []).append(name)
    return found


def _few(names: Sequence[str], options: argparse.Namespace) -> list[str]:
    return sorted(random.Random(0).sample(names, min(options.sample, len(names))))


def _run(step: str, options: argparse.Namespace) -> None:
    """A step in a process of its own. A mutant that ends it is noted, and the rest goes on."""
    more = ["--seconds", str(options.seconds)]
    if options.patience is not None:
        more += ["--patience", str(options.patience)]
    command = [sys.executable, "-m", "mutation", "--step", step, *more]
    while status := subprocess.run(command).returncode:
        if status > 0:
            raise SystemExit(f"the step {step} failed")
        _note(step, _todo(step)[0], "killed", f"signal {-status}")


def _judge(options: argparse.Namespace) -> None:
    mutants.activate()
    step = options.step
    todo = _todo(step)
    if step == "parity":
        from . import by_parity

        verdicts = by_parity.judge(todo, options.patience)
    else:
        from . import by_tests

        verdicts = by_tests.judge(todo, options.seconds)
    for done, (name, verdict, by) in enumerate(verdicts, 1):
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
    row = "{:32} {:>8} {:>10} {:>10} {:>10} {:>12}".format
    print(row("", "mutants", "by parity", "by tests", "equivalent", "unexplained"))
    unexplained = []
    for module, mine in _modules(chosen).items():
        seen = [name for name in mine if parity[name][0] == "killed"]
        tested = [name for name in mine if tests.get(name, ("",))[0] == "killed"]
        left = [name for name in mine if name not in {*seen, *tested}]
        open_ = [name for name in left if mutants.change(name) not in EXPLAINED]
        print(row(module, *map(len, (mine, seen, tested)), len(left) - len(open_), len(open_)))
        unexplained += open_
    for name in unexplained:
        function, before, after = mutants.change(name)
        print(f"\n{name}\n  {function}\n- {before}\n+ {after}")
    stale = _stale()
    for function, before, after in stale:
        print(f"\nin mutation/explained.py, but no mutant\n  {function}\n- {before}\n+ {after}")
    return 1 if unexplained or stale else 0


def _stale() -> list[tuple[str, str, str]]:
    """What is explained, but is no mutant any more."""
    modules = {function.split("._")[0] for function, _, _ in EXPLAINED}
    made = {
        mutants.change(name)
        for name in mutants.names()
        if any(mutants.module(name).startswith(f"jraphx_eqx.{module}") for module in modules)
    }
    return [change for change in EXPLAINED if change not in made]


if __name__ == "__main__":
    sys.exit(main())
