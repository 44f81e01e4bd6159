"""The tests in the guide to testing are run by pytest, as its readers do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.test_docs import ROOT, blocks_of

PAGE = ROOT / "docs" / "guides" / "testing.md"


def test_the_tests_of_the_guide_pass(tmp_path: Path) -> None:
    code = [block.text for block in blocks_of(PAGE) if block.language == "python" and block.marker is None]
    (tmp_path / "test_guide.py").write_text("\n\n".join(code))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{''.join(code).count('def test_')} passed" in done.stdout
