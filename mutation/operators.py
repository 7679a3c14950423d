"""Changes that mutmut does not make: terms, branches, the order of arguments, constants."""

from collections.abc import Iterator

import libcst as cst


def _alone(expression: cst.BaseExpression) -> cst.BaseExpression:
    return expression.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def drop_a_term(node: cst.BinaryOperation) -> Iterator[cst.BaseExpression]:
    """`a + b`: `a`, `b`."""
    yield _alone(node.left)
    yield _alone(node.right)


def force_a_branch(node: cst.If) -> Iterator[cst.If]:
    """`if a:`: `if a and False:`, `if a or True:`."""
    test = _alone(node.test)
    for operator, value in ((cst.And(), "False"), (cst.Or(), "True")):
        yield node.with_changes(test=cst.BooleanOperation(test, operator, cst.Name(value)))


def swap_arguments(node: cst.Call) -> Iterator[cst.Call]:
    """`f(a, b, c)`: `f(b, a, c)`, `f(a, c, b)`; not of a minimum, whose arguments have no order."""
    name = node.func.attr if isinstance(node.func, cst.Attribute) else node.func
    if isinstance(name, cst.Name) and name.value in ("min", "max", "minimum", "maximum"):
        return
    plain = [arg.keyword is None and not arg.star for arg in node.args]
    for i in range(len(node.args) - 1):
        if plain[i] and plain[i + 1]:
            args = list(node.args)
            values = args[i].value, args[i + 1].value
            args[i] = args[i].with_changes(value=values[1])
            args[i + 1] = args[i + 1].with_changes(value=values[0])
            yield node.with_changes(args=args)


def drop_a_call(node: cst.Call) -> Iterator[cst.BaseExpression]:
    """`f(a, ...)`: `a`; `a.astype(...)`: `a`. So `stop_gradient` goes, and casts do."""
    if node.args and node.args[0].keyword is None and not node.args[0].star:
        yield _alone(node.args[0].value)
    if isinstance(node.func, cst.Attribute) and node.func.attr.value in ("astype", "reshape"):
        yield node.func.value


def another_constant(node: cst.Float) -> Iterator[cst.Float]:
    """`1e-7`: `2e-07`, `0.0`."""
    value = node.evaluated_value
    yield node.with_changes(value=repr(2 * value if value else 0.5))
    if value:
        yield node.with_changes(value="0.0")


OPERATORS = (
    (cst.BinaryOperation, drop_a_term),
    (cst.If, force_a_branch),
    (cst.Call, swap_arguments),
    (cst.Call, drop_a_call),
    (cst.Float, another_constant),
)
