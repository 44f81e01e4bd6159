"""The benchmark of the cache runs."""

from __future__ import annotations

import pytest

from benchmarks import caching


def test_hits_are_measured_beside_gets(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "TURNS", 3)
    monkeypatch.setattr("sys.argv", ["caching"])
    caching.main()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["get", "hit in the process", "async get", "async hit in the process"]
    assert all(float(number.replace(",", "")) > 0 for row in rows for number in row[1:])
    assert float(rows[1][1].replace(",", "")) < float(rows[0][1].replace(",", ""))
