"""`nox` runs all that must pass before a change lands; `nox -l` lists what there is."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "docs", "tests", "parity", "oldest", "newest"]

MAIN = "3.11"
NEWEST = ("3.13", "3.12")
# Nearly all of the time goes into XLA's compiler.
PYTEST = ("pytest", "-n", "auto")
BRIEFLY = ("-m", "not full")
# Tests of one file share what they compile.
BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")
# What sees a release of JAX that computes otherwise, in a few minutes. `nox -s newest -- tests`
# runs all tests, and all operators against their references.
POOLS = (
    f"tests/nn/pool/test_{name}.py" for name in ("topk_pooling", "edge_pooling", "global_pools")
)
ARITHMETIC = ("tests/ops", *POOLS)
OPERATORS = ("PANPooling", "ClusterPooling", "global_max_pool")


def newest_python() -> str:
    """The newest Python that is here, be it one of pyenv's that is not switched on."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    for version in NEWEST:
        name = f"python{version}"
        # Pyenv leaves a command that fails for each version that is not switched on.
        if shutil.which(name) and subprocess.run([name, "-V"], capture_output=True).returncode == 0:
            return version
        if found := sorted(pyenv.glob(f"{version}.*/bin/{name}")):
            return str(found[-1])
    return NEWEST[0]


def oldest_versions(session: nox.Session) -> str:
    """Constraints: of the core the oldest that `pyproject.toml` allows, and else what is tested."""
    core = " ".join(nox.project.load_toml("pyproject.toml")["project"]["dependencies"])
    oldest = dict(re.findall(r"(\w+)>=([\d.]+)", core))
    oldest["jaxlib"] = oldest["jax"]
    lines = Path("constraints.txt").read_text().splitlines()
    lines = [line for line in lines if line.partition("==")[0] not in oldest]
    path = Path(session.create_tmp()) / "oldest.txt"
    path.write_text("\n".join([*lines, *map("==".join, oldest.items()), ""]))
    return str(path)


def install(
    session: nox.Session, *packages: str, constraints: str | None = "constraints.txt"
) -> None:
    """Installs the tested versions: among others the small CPU build of torch.

    Tries twice: an index that fails to answer once looks to pip like versions in conflict.
    """
    versions = () if constraints is None else ("-c", constraints)
    try:
        session.install(*versions, *packages)
    except CommandFailed:
        session.install(*versions, *packages)


def keep_programs(session: nox.Session) -> None:
    """What XLA compiles is kept, for other processes, other sessions and the next run."""
    session.env["JAX_COMPILATION_CACHE_DIR"] = str(Path(".nox/compiled").resolve())
    session.env["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    session.env["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    # Many tests start processes: without bytecode each compiles the checks of types again.
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    # XLA wrongly reports that it was compiled for another processor, for every program.
    session.env["TF_CPP_MIN_LOG_LEVEL"] = "3"


@nox.session(python=MAIN)
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    install(session, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=MAIN)
def types(session: nox.Session) -> None:
    """Static types of the package."""
    install(session, ".[test]", "pyright")
    session.run("pyright")


@nox.session(python=MAIN)
def tests(session: nox.Session) -> None:
    """The torch-free tests, the examples, and the code blocks of the README and the docs."""
    install(session, ".[test]")
    keep_programs(session)
    session.run(*PYTEST, *BY_FILE, *BRIEFLY, "tests", *session.posargs)


@nox.session(python=MAIN)
def quick(session: nox.Session) -> None:
    """Style, the poolings, and two of them against their references: what tells most, soonest."""
    install(session, ".[test]", "ruff")
    keep_programs(session)
    session.run("ruff", "check", ".")
    session.run(*PYTEST, *BRIEFLY, "tests/data", "tests/nn/pool")
    names = [f"--operator={name}" for name in ("TopKPooling", "global_max_pool")]
    session.run("python", "-m", "parity_tests", "check", *names)


@nox.session(python=MAIN)
def full(session: nox.Session) -> None:
    """All tests, those that take long as well, and the references that PyG gives now."""
    install(session, ".[test,parity]")
    keep_programs(session)
    session.run(*PYTEST, "--dist", "worksteal", "tests", "parity_tests", *session.posargs)
    session.run("python", "-m", "parity_tests")
    session.run("python", "-m", "parity_tests", "check")


@nox.session(python=MAIN)
def oldest(session: nox.Session) -> None:
    """The arithmetic with the oldest JAX, Equinox, jaxtyping and beartype that are allowed."""
    install(session, ".[test]", constraints=oldest_versions(session))
    check_arithmetic(session)


@nox.session(python=newest_python())
def newest(session: nox.Session) -> None:
    """The arithmetic with the newest releases of everything; `nox -s newest -- tests` tests all."""
    install(session, ".[test]", constraints=None)
    # Without optimizations newer releases of XLA round more than the tests allow.
    session.env["FULL_OPTIMIZATION"] = "1"
    check_arithmetic(session)


def check_arithmetic(session: nox.Session) -> None:
    keep_programs(session)
    session.run(*PYTEST, *BY_FILE, *BRIEFLY, *(session.posargs or ARITHMETIC))
    few = [] if session.posargs else [f"--operator={name}" for name in OPERATORS]
    session.run("python", "-m", "parity_tests", "check", *few)


@nox.session(python=MAIN)
def parity(session: nox.Session) -> None:
    """Every operator against PyG, on random and corner graphs and on the digits."""
    install(session, ".[test,parity]")
    keep_programs(session)
    # The pages on PyG and parity need torch, so the `tests` session skips them.
    session.run(
        *PYTEST,
        *("--dist", "worksteal"),
        *BRIEFLY,
        *("parity_tests", "tests/test_docs.py"),
        *session.posargs,
    )
    session.run("python", "-m", "parity_tests")


@nox.session(python=MAIN)
def miscompiled(session: nox.Session) -> None:
    """With the jax that miscompiles on the CPU: our operators pass, the harness sees what fails."""
    install(session, ".[test,parity]")
    session.install("--no-deps", "jax==0.10.2", "jaxlib==0.10.2")
    where = ("tests/transformations/test_many_rows.py", "tests/test_catalogue_without_torch.py")
    session.run(*PYTEST, *where, "parity_tests/test_miscompiled.py", *session.posargs)


@nox.session(python=MAIN)
def soak(session: nox.Session) -> None:
    """A thousand runs of the catalogue, each with a seed of its own: counts false alarms."""
    install(session, ".[test,parity]")
    session.run("python", "-m", "parity_tests.soak", *session.posargs)


@nox.session(python=MAIN)
def browser(session: nox.Session) -> None:
    """Looks at the report in a real browser; Chromium has to be on the path."""
    install(session, ".[test]", "playwright")
    session.run("pytest", "tests/browser", *session.posargs)


@nox.session(python=MAIN)
def faults(session: nox.Session) -> None:
    """Injects every fault of the catalogue and reports which check notices it."""
    install(session, ".[test]")
    session.run("python", "-m", "parity_tests", "mutate", *session.posargs)


@nox.session(python=MAIN)
def old_releases(session: nox.Session) -> None:
    """Records again the checkpoints of older releases of PyG that the tests load."""
    install(session, "torch", "numpy", "pip", "setuptools<81", "psutil", "requests", "tqdm")
    install(session, "jinja2", "pyparsing", "scipy", "scikit-learn", "matplotlib")
    install(session, "aiohttp", "fsspec", "xxhash")
    for release in ("1.4.3", "1.5.0", "1.6.3", "1.7.2", "2.0.4", "2.3.1", "2.5.3"):
        folder = f"{session.create_tmp()}/{release}"
        session.install("--no-deps", "--target", folder, f"torch_geometric=={release}")
        command = ("parity_tests/old_releases/record.py", release, "tests/interop/old_checkpoints")
        session.run("python", *command, env={"PYTHONPATH": folder})


@nox.session(python=MAIN)
def docs(session: nox.Session) -> None:
    """Builds the documentation; any warning is an error."""
    install(session, ".[docs]")
    session.run("mkdocs", "build", "--strict")


@nox.session(python=MAIN)
def bench(session: nox.Session) -> None:
    """Times our pools beside those of PyG and JraphX; docs/benchmarks.md says how."""
    install(session, ".[bench]")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(python=MAIN)
def tgp(session: nox.Session) -> None:
    """Records again what torch-geometric-pool gives; its torch-scatter is compiled, in minutes."""
    install(session, ".[parity]", "numpy", "scipy", "scikit-learn", "setuptools", "wheel")
    folder = f"{session.create_tmp()}/tgp"
    versions = ("torch-scatter==2.1.2", "torch-geometric-pool==1.0.2")
    build = ("--no-build-isolation", "--no-deps", "--target", folder)
    session.install(*build, *versions, env={"FORCE_ONLY_CPU": "1"})
    command = ("parity_tests/tgp/record.py", "tests/nn/pool/tgp.npz")
    session.run("python", *command, env={"PYTHONPATH": folder})
