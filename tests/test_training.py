"""`examples/train.py` goes on where it was killed, and ends with the same numbers bit for bit."""

import importlib.util
import os
import pathlib
import signal
import subprocess
import sys

import equinox as eqx
import numpy as np
import pytest

from parity_tests._programs import options_of_tests

TRAIN = pathlib.Path(__file__).parent.parent / "examples" / "train.py"
OPTIONS = ("--epochs=3", "--batch-size=4", "--width=4", "--every=2")
# Kills itself between writing a checkpoint and putting it in place of the old one.
KILLED = """
import os, pathlib, runpy, signal, sys
replace, count = pathlib.Path.replace, []
def killing(self, target):
    count.append(1)
    if len(count) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
pathlib.Path.replace = killing
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


@pytest.fixture
def tu(tmp_path):
    """A TU data set of 20 rings. Half of the nodes are labelled by the class of their graph."""
    rng = np.random.default_rng(0)
    sizes, y = rng.integers(3, 9, 20), rng.integers(0, 2, 20)
    first = np.cumsum(sizes) - sizes
    edges = [
        (start + node, start + (node + 1) % size)
        for start, size in zip(first, sizes, strict=True)
        for node in range(size)
    ]
    labels = np.where(rng.random(sizes.sum()) < 0.5, np.repeat(y, sizes), 2)
    texts = {
        "A": "\n".join(
            f"{source + 1}, {target + 1}\n{target + 1}, {source + 1}" for source, target in edges
        ),
        "graph_indicator": "\n".join(map(str, np.repeat(np.arange(20) + 1, sizes))),
        "graph_labels": "\n".join(map(str, y)),
        "node_labels": "\n".join(map(str, labels)),
    }
    for name, text in texts.items():
        (tmp_path / f"RINGS_{name}.txt").write_text(text + "\n")
    return tmp_path


@pytest.fixture
def train(monkeypatch):
    """Runs the script in this process."""

    spec = importlib.util.spec_from_file_location("train", TRAIN)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "train", module)
    spec.loader.exec_module(module)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(TRAIN), *map(str, arguments)])
        return module.main()

    return run


def test_a_training_that_was_killed_ends_as_if_it_had_not_been(
    tu, train, tmp_path, capsys, quick_compile
):
    whole = train(tu, *OPTIONS)
    assert "goes on" not in capsys.readouterr().out
    checkpoint = tmp_path / "training.eqx"
    arguments = [str(TRAIN), str(tu), *OPTIONS, f"--checkpoint={checkpoint}"]
    options = [f"--{name}={value}".lower() for name, value in options_of_tests().items()]
    flags = " ".join([os.environ.get("XLA_FLAGS", ""), *options])
    environment = os.environ | {"XLA_FLAGS": flags}  # as `quick_compile`
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], env=environment)
    assert killed.returncode == -signal.SIGKILL
    resumed = train(*arguments[1:])
    said = capsys.readouterr().out
    assert "goes on in epoch 1, after 2 of its steps" in said
    assert resumed.position == whole.position == (3, 0)
    assert eqx.tree_equal(resumed, whole)
