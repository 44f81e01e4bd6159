"""Conditions and updates as values, and the strings DynamoDB takes."""

from __future__ import annotations

from dynamodb_wrapper.expressions.boto3_conditions import AnyCondition, Boto3Condition, as_condition
from dynamodb_wrapper.expressions.nodes import (
    Comparison,
    Condition,
    F,
    Fields,
    Function,
    Operand,
    Path,
    Stored,
    Written,
    every,
    paths_of,
)
from dynamodb_wrapper.expressions.render import MAX_EXPRESSION_BYTES, ExpressionWriter, Resolver
from dynamodb_wrapper.expressions.updates import Action, Add, Append, Delete, Encoded, Prepend, Remove, SetIfMissing

__all__ = [
    "MAX_EXPRESSION_BYTES",
    "Action",
    "Add",
    "AnyCondition",
    "Append",
    "Boto3Condition",
    "Comparison",
    "Condition",
    "Delete",
    "Encoded",
    "ExpressionWriter",
    "F",
    "Fields",
    "Function",
    "Operand",
    "Path",
    "Prepend",
    "Remove",
    "Resolver",
    "SetIfMissing",
    "Stored",
    "Written",
    "as_condition",
    "every",
    "paths_of",
]
