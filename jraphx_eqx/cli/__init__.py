"""The command line `jraphx-eqx`; [the page on it](../command-line.md) shows it at work."""

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

    app(prog_name="jraphx-eqx")
