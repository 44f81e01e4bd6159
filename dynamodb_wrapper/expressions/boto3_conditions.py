"""boto3's own ``Key`` and ``Attr`` conditions as nodes, without importing boto3."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from dynamodb_wrapper.exceptions import ExpressionError
from dynamodb_wrapper.expressions.nodes import (
    Between,
    Comparison,
    Condition,
    Fields,
    Function,
    Not,
    Operand,
    Path,
    Size,
)


@runtime_checkable
class Boto3Condition(Protocol):
    """A condition built with ``boto3.dynamodb.conditions``."""

    def get_expression(self) -> Any:
        """Return boto3's description: ``format``, ``operator`` and ``values``."""
        ...


AnyCondition = Condition | Boto3Condition

_FUNCTIONS = ("attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains")


def as_condition(condition: AnyCondition) -> Condition:
    """Return our node for one of ours or of boto3's.

    Raises:
        ExpressionError: It is neither.
    """
    if isinstance(condition, Condition):
        return condition
    if isinstance(condition, Operand | Fields) or not isinstance(condition, Boto3Condition):  # F has any attribute
        raise ExpressionError(f"expected a condition like F.total > 100 or Attr('total').gt(100), got {condition!r}")
    expression = condition.get_expression()
    operator, values = expression["operator"], expression["values"]
    match operator:
        case "AND":
            return as_condition(values[0]) & as_condition(values[1])  # which does not nest what needs no parentheses
        case "OR":
            return as_condition(values[0]) | as_condition(values[1])
        case "NOT":
            return Not(as_condition(values[0]))
        case "=" | "<>" | "<" | "<=" | ">" | ">=":
            return Comparison(_operand(values[0]), operator, _value(values[1]))
        case "BETWEEN":
            return Between(_operand(values[0]), _value(values[1]), _value(values[2]))
        case "IN":
            return _operand(values[0]).in_(values[1])
    path = _operand(values[0])
    if operator in _FUNCTIONS and isinstance(path, Path):
        return Function(operator, path, tuple(values[1:]))
    raise ExpressionError(f"boto3's condition operator {operator!r} is not known here")


def _operand(value: Any) -> Operand:
    if isinstance(value, Boto3Condition):  # boto3's Size is a condition and an attribute at once
        (measured,) = value.get_expression()["values"]
        return Size(Path(measured.name))
    return Path(value.name)


def _value(value: Any) -> object:
    return (
        Path(value.name) if type(value).__module__ == "boto3.dynamodb.conditions" and hasattr(value, "name") else value
    )
