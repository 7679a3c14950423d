"""The command line `jraphx-eqx`; [the page on it](../command-line.md) shows it at work."""

import os
import sys


def main() -> None:
    """Runs the command line, or says in one line what it needs."""
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as error:
        needs = 'pip install "jraphx_eqx[cli]"'
        sys.exit(f"jraphx-eqx needs the package {error.name}: {needs}")
    from ._app import app

    try:
        try:
            app(prog_name="jraphx-eqx")
        finally:
            sys.stdout.flush()
    except OSError as error:  # of the output itself: a full disk, for instance
        # What is still in the buffer would fail once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"error: the output could not be written: {error.strerror}", file=sys.stderr)
        sys.exit(2)
