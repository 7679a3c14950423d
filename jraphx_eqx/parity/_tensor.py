from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Tensor:
    """Which array of a comparison it is. Specs, records and files have its text, for example
    `"d.weight|x"`.

    **Arguments:**

    - `kind`: `"out"`, an output; `"d"`, a gradient; `"leak"`, the gradient of padding; or `""` for
        anything else.
    - `name`: of the output; or of the input or parameter, for a gradient.
    - `direction`: for a gradient: the only output that is differentiated, or `""` for all together.
    - `move`: the change of the input or of the program after which it was computed, if any.
    """

    kind: str
    name: str
    direction: str = ""
    move: str = ""

    def __str__(self) -> str:
        kind, move = self.kind and f"{self.kind}.", self.move and f"{self.move}: "
        return f"{move}{kind}{self.name}" + (self.direction and f"|{self.direction}")

    @staticmethod
    def parse(text: str) -> "Tensor":
        """The inverse of `str`."""
        move, _, rest = text.rpartition(": ")
        whole, _, direction = rest.partition("|")
        kind, _, name = whole.partition(".")
        if kind not in ("out", "d", "leak"):
            kind, name = "", whole
        return Tensor(kind, name, direction, move)
