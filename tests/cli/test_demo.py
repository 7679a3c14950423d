"""`jraphx-eqx demo`, for one epoch."""

import pytest

pytest.importorskip("typer")
pytest.importorskip("optax")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("networkx")
from typer.testing import CliRunner

from jraphx_eqx.cli import _demo
from jraphx_eqx.cli._app import app
from jraphx_eqx.loading import digits

RUNNER = CliRunner()


def test_the_demo_trains_and_ends_with_a_picture(tmp_path, monkeypatch, quick_compile):
    monkeypatch.setattr(_demo, "digits", lambda: digits()[:200])
    monkeypatch.setattr(_demo, "TEST", 40)
    picture = tmp_path / "demo.png"
    done = RUNNER.invoke(app, ["demo", "-o", str(picture), "--epochs", "2"])
    assert done.exit_code == 0, done.output
    share = float(done.stdout.split()[2])
    assert 0 < share <= 100
    assert done.stdout.startswith(f"Test accuracy {share} % on 40 digits.\nWrote {picture}, what")
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("output", "said"),
    [("demo.txt", "demo.txt must end in one of .eps"), ("none/demo.png", "there is no folder")],
)
def test_the_demo_refuses_what_it_cannot_write(tmp_path, output, said):
    done = RUNNER.invoke(app, ["demo", "-o", str(tmp_path / output)])
    assert done.exit_code == 2
    assert said in done.stderr
