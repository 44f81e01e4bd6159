"""Conditions and updates as values, and the strings DynamoDB takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamodb_wrapper.utils.lazy import exported

if TYPE_CHECKING:
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
else:
    __getattr__, __dir__ = exported(
        __name__,
        {
            "dynamodb_wrapper.expressions.boto3_conditions": "AnyCondition Boto3Condition as_condition",
            "dynamodb_wrapper.expressions.nodes": """
                Comparison Condition F Fields Function Operand Path Stored Written every paths_of
            """,
            "dynamodb_wrapper.expressions.render": "ExpressionWriter MAX_EXPRESSION_BYTES Resolver",
            "dynamodb_wrapper.expressions.updates": "Action Add Append Delete Encoded Prepend Remove SetIfMissing",
        },
    )

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
