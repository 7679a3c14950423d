"""Terminals that show little, names that say too much, full disks, and links."""

import os
import resource
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("typer")
from typer.testing import CliRunner

from jraphx_eqx.cli._app import app
from jraphx_eqx.cli._mapping import finite, largest
from jraphx_eqx.cli._output import shown
from jraphx_eqx.cli._problem import Problem
from jraphx_eqx.cli._write import check_output, write_whole
from jraphx_eqx.interop import read_state_dict, write_state_dict

WEIGHTS = {"weight": np.arange(20_000, dtype=np.float32)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("charset", ["ascii", "cp1252", "utf-8"])
def test_a_terminal_of_any_charset_shows_names_of_any_letters(folder, charset):
    write_state_dict({"вес.weight": np.ones((2, 3))}, "net.npz")
    done = CliRunner(charset=charset).invoke(app, ["inspect", "net.npz"])
    assert done.exit_code == 0, done.exception
    name = "вес.weight" if charset == "utf-8" else r"\u0432\u0435\u0441.weight"
    assert name in done.stdout_bytes.decode(charset)


def test_what_a_terminal_would_obey_is_escaped(folder):
    assert shown("a\x1b[31mb\r\x07\u202e\n\udc80é") == "a\\x1b[31mb\\r\\x07\\u202e\\n\\udc80é"
    write_state_dict({"a\x1b[31mb": np.array([np.nan])}, "net[v2]\x1b.npz")
    done = CliRunner().invoke(app, ["inspect", "net[v2]\x1b.npz"])
    assert done.exit_code == 0 and "\x1b" not in done.output
    assert r"a\x1b[31mb" in done.stdout and r"net[v2]\x1b.npz" in done.stdout
    assert r"not finite: a\x1b[31mb" in done.stderr
    done = CliRunner().invoke(app, ["inspect", "none\x1b.npz"])
    assert done.exit_code == 2 and "\x1b" not in done.output


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt"])
def test_a_full_disk_is_told_in_one_line_and_leaves_the_old_file(folder, suffix):
    if suffix == ".pt":
        pytest.importorskip("torch")
    path = folder / f"out{suffix}"
    path.write_bytes(b"what was there before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**12, hard))
    try:
        with pytest.raises(Problem, match=rf"out{suffix} could not be written: ") as caught:
            write_whole(WEIGHTS, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code == 2 and "\n" not in str(caught.value)
    assert [one.name for one in folder.iterdir()] == [path.name]
    assert path.read_bytes() == b"what was there before"


def test_an_output_that_cannot_be_printed_is_told_in_one_line(folder):
    write_state_dict(WEIGHTS, "net.npz")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "jraphx_eqx.cli", "inspect", "net.npz"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line == "error: the output could not be written: No space left on device"


def test_what_a_link_points_to_is_written(folder):
    (folder / "there").mkdir()
    os.symlink("there/target", "link.npz")
    for _ in range(2):  # the target is made, then replaced
        check_output(folder / "link.npz")
        write_whole(WEIGHTS, folder / "link.npz")
        assert (folder / "link.npz").is_symlink()
    (folder / "there" / "target").rename("target.npz")
    np.testing.assert_array_equal(read_state_dict("target.npz")["weight"], WEIGHTS["weight"])


def test_a_device_is_no_output(folder):
    os.symlink("/dev/full", "full.npz")
    with pytest.raises(Problem, match=r"full\.npz is a folder or a device"):
        check_output(folder / "full.npz")


@pytest.mark.parametrize(
    "array, text",
    [
        (np.array([-3, 2]), "3"),
        (np.array([-(2**63)]), "9.22e+18"),
        (np.array([True, False]), "1"),
        (np.array([3 + 4j], np.complex64), "5"),
        (np.array([1e-40], np.float32), "1e-40"),
        (np.array([np.inf, 1], np.float16), "inf"),
        (np.zeros((0, 3)), "-"),
        (np.array(2.5), "2.5"),
        (np.r_[np.nan, np.ones(2**18 - 1), 7.0], "nan"),  # two blocks
        (np.r_[np.ones(2**18), 7.0], "7"),
    ],
)
def test_the_largest_absolute_value(array, text):
    assert largest(array) == text
    assert finite(array) == (text not in ("inf", "nan"))


def test_the_largest_value_needs_no_copy_of_the_weights():
    array = np.ones((2**11, 2**11), np.float32).T  # 16 MiB
    tracemalloc.start()
    try:
        assert largest(array) == "1" and finite(array)
        assert tracemalloc.get_traced_memory()[1] < array.nbytes / 2
    finally:
        tracemalloc.stop()
