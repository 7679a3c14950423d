"""The command `record` writes what `check` accepts, and keeps what PyG does not give any more."""

from typer.testing import CliRunner

from .__main__ import app

AT = ("--operator", "global_add_pool", "--references")


def run(*given):
    return CliRunner().invoke(app, [*map(str, given)])


def test_what_is_recorded_is_accepted(tmp_path):
    assert run("record", *AT, tmp_path).exit_code == 0
    done = run("check", *AT, tmp_path, "--lane", "exact", "--jobs", 1)
    assert done.exit_code == 0, done.output


def test_damaged_references_are_replaced_only_with_a_reason(tmp_path):
    assert run("record", *AT, tmp_path).exit_code == 0
    (tmp_path / "global_add_pool" / "manifest.json").write_text("{")
    done = run("record", *AT, tmp_path)
    assert done.exit_code == 3 and "manifest.json cannot be read" in done.stderr
    assert run("record", *AT, tmp_path, "--bless", "it was empty").exit_code == 0
