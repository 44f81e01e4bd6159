"""What ``--where`` says: alternatives, quotes, and values that look like something else."""

from __future__ import annotations

import pytest

pytest.importorskip("typer")

from dynamodb_wrapper import F
from dynamodb_wrapper.cli.conditions import conditions
from dynamodb_wrapper.expressions import Condition


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1 or b>=2 or !c", (F.a == "1") | (F.b >= "2") | F.c.not_exists()),
        ("  note  or  !tags ", F.note.exists() | F.tags.not_exists()),
        ("state=OR or state = WA", (F.state == "OR") | (F.state == "WA")),
        ("state = OR or state = WA", (F.state == "OR") | (F.state == "WA")),
        ("order=1 or oregon=2", (F.order == "1") | (F.oregon == "2")),
        ("a=x y or\n b.c[0]^=z", (F.a == "x y") | F.b.c[0].begins_with("z")),
        ("or=1", F["or"] == "1"),
        ("a=Tom and Jerry", F.a == "Tom and Jerry"),
        ("a=either OR or b", (F.a == "either OR") | F.b.exists()),
        ("a=pride or b", (F.a == "pride") | F.b.exists()),
        ("a='pride or b' or b", (F.a == "pride or b") | F.b.exists()),
        ('a="1 and b=2"', F.a == "1 and b=2"),
        ('a=\'it\'\'s\' or b="say ""x"""', (F.a == "it's") | (F.b == 'say "x"')),
        ("a='' or b=", (F.a == "") | (F.b == "")),
        ("a=5' or b=it's", (F.a == "5'") | (F.b == "it's")),
    ],
)
def test_alternatives(text: str, expected: Condition) -> None:
    (found,) = conditions([text])
    assert repr(found) == repr(expected)  # conditions are compared by nobody: == makes another one
