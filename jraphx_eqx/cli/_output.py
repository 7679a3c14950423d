"""What is printed."""

import io
import sys

from rich.console import Console


def console() -> Console:
    """Standard output; on what is no terminal 120 columns wide."""
    _escape(sys.stdout)
    out = Console()
    return out if out.is_terminal else Console(width=120)


def error_console() -> Console:
    """Standard error, with lines of any length."""
    _escape(sys.stderr)
    return Console(stderr=True, soft_wrap=True)


def print_error(text: str) -> None:
    """Prints what went wrong, in as many lines as it has."""
    lines = "\n".join(map(shown, text.split("\n")))
    error_console().print(f"error: {lines}", markup=False)


def note(text: str) -> None:
    """Prints one line of what was done."""
    _escape(sys.stdout)
    Console(soft_wrap=True).print(f"note: {shown(text)}", markup=False, highlight=False)


def shown(text: str) -> str:
    """A line with what a terminal would obey, or could not show, in escapes."""
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(character):
    return character.encode("unicode_escape").decode()


def _escape(stream: object) -> None:
    # A terminal that is not Unicode gets an escape, and not a UnicodeEncodeError.
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
