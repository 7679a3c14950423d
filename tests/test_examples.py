"""Every script in `examples` runs and prints what it should."""

import importlib.util
import os
import pathlib
import socket
import subprocess
import sys

import pytest

pytestmark = pytest.mark.usefixtures("quick_compile")

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
OUTPUT = {
    "graph_classifier": """\
training:  (4, 10)
inference: (4, 10)
padding changes the logits by less than 1e-5: True
""",
    "multi_scale": """\
one row for each graph: (3, 2)
nodes at each scale: [ 8  4 16] [4 2 8] [2 1 4]
""",
    "batched_pooling": """\
nodes of each graph, before: [4 6 2]
nodes of each graph, after:  [2 3 1]
rows: 9 of which real: 6
rows after trim: 6
the same one by one: True
""",
    "jitted_pooling": """\
8 graphs classified
8 graphs classified
8 graphs classified
5 graphs classified
traces: 1
""",
    "gradients": """\
weight of the pooling: True
weight of the classifier: True
only kept nodes are reached: True
NaN in padding changes nothing: True
""",
    "point_cloud": """\
points of new clouds: 256
four of five are told apart: True
""",
    "digits_by_voxels": """\
nodes at each level: [1033, 434, 244]
the loss falls by half: True
""",
    "selected_nodes": """\
perm:     [0 2 4 5]
selected: [1. 0. 1. 0. 1.]
score:    [0.95 0.   0.88 0.   0.99]
lifted:   [2.86 0.   1.76 0.   4.97]
""",
}


@pytest.fixture
def example(monkeypatch):
    """Imports a script with the other scripts within its reach, as `python examples/...` does."""
    monkeypatch.syspath_prepend(EXAMPLES)

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


# Matchings take XLA long.
LONG = {"digits_by_voxels": pytest.mark.full}


@pytest.mark.parametrize("name", [pytest.param(name, marks=LONG.get(name, ())) for name in OUTPUT])
def test_the_example_prints(name, example, capsys):
    example(name).main()
    assert capsys.readouterr().out == OUTPUT[name]


def test_eight_devices_train_as_one():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    # The number of devices is fixed when JAX starts.
    environment = {"XLA_FLAGS": flags, "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, EXAMPLES / "many_devices.py"]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    said, difference = done.stdout.strip().rsplit(" ", 1)
    assert said.startswith("devices: 8, steps: 6, the loss falls: True")
    assert float(difference) < 1e-12


def test_readouts_are_compared_and_drawn(example, tmp_path, capsys):
    path = tmp_path / "readouts.svg"
    given = ["--readouts=multi", "--seconds=0.1", "--graphs=200", f"--picture={path}"]
    [found] = example("readouts").main(given)
    trained, _, row = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert trained == ["multi", "is", "trained"] and row[0] == "multi" and row[-1] == "0"
    assert found.milliseconds > 0 and all(0 <= share <= 1 for _, share in found.curve)
    assert "</svg>" in path.read_text()


@pytest.mark.full
def test_two_processes_train_as_one_device():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    environment = {"XLA_FLAGS": flags, "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
    code = f"""
import runpy, sys, jax
jax.distributed.initialize("localhost:{port}", 2, int(sys.argv[1]), initialization_timeout=120)
runpy.run_path({str(EXAMPLES / "many_devices.py")!r}, run_name="__main__")
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(number)],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=400) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (said, error) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, error
        said, difference = said.strip().rsplit(" ", 1)  # after what Gloo prints
        assert "devices: 4, steps: 6, the loss falls: True" in said
        assert float(difference) < 1e-12


def test_every_example_is_tested():
    tested = {*OUTPUT, "many_devices", "readouts", "train"}  # the last by test_training.py
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested
