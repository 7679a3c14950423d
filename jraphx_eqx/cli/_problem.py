from collections.abc import Iterator
from contextlib import contextmanager

# 2 is also what typer exits with for wrong usage.
NO, UNUSABLE, NOT_COMPARED = 1, 2, 3


class Problem(Exception):
    """The message for the user, with the exit code."""

    def __init__(self, message: str, code: int = UNUSABLE):
        super().__init__(message)
        self.code = code


@contextmanager
def told(*errors: type[Exception], code: int = UNUSABLE) -> Iterator[None]:
    """Makes these errors a `Problem` with the same text."""
    try:
        yield
    except errors as error:
        raise Problem(str(error) or type(error).__name__, code) from error
