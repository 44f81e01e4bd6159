"""``python -m examples.lambda_tree_chat.package``: the zip that Lambda takes, and what is in it.

Without options it is for this machine's architecture and Python, from what is installed here. For another one, pip
fetches the same versions: ``--platform manylinux2014_aarch64 --python 3.13``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

NEEDED = ("pydantic", "pydantic-core", "annotated-types", "typing-extensions", "typing-inspection", "tzdata")
"""The distributions that go into the zip. tzdata is: Lambda's images may have no time zones; only UTC needs none.

Not in it:

- boto3 and botocore, with their own: Lambda's Python has them, and loads them only for what needs them.
- pydantic-settings: only reads `.env` files. cachetools: only for caches.
- aws-lambda-powertools: only `with_powertools.py` needs it; take Lambda's layer of it, or add it here.
"""

LEFT_OUT = (
    "dynamodb_wrapper/spark",
    "dynamodb_wrapper/testing",
    "examples/lambda_tree_chat/by_hand.py",
    "examples/lambda_tree_chat/infrastructure.py",
    "examples/lambda_tree_chat/measure.py",
    "examples/lambda_tree_chat/package.py",
    "examples/lambda_tree_chat/with_powertools.py",
    "pydantic/v1",
    "pydantic/mypy.py",
)
THIS_PYTHON = ".".join(map(str, sys.version_info[:2]))
_DATE = (1980, 1, 1, 0, 0, 0)  # of every file, so that the same files make the same zip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.lambda_tree_chat.package", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "dist" / "tree_chat.zip")
    parser.add_argument("--platform", help="as pip names it: manylinux2014_x86_64, manylinux2014_aarch64")
    parser.add_argument("--python", default=THIS_PYTHON, help="for example 3.13")
    parser.add_argument("--no-bytecode", action="store_true", help="leave the compiling to every cold start")
    options = parser.parse_args()
    build(options.output, options.platform, options.python, with_bytecode=not options.no_bytecode)
    for line in contents(options.output):
        print(line)


def build(output: Path, platform: str | None = None, python: str = THIS_PYTHON, *, with_bytecode: bool = True) -> None:
    """Write the zip."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        if platform is None:
            copy_installed(target)
        else:
            fetch(target, platform, python)
        for package in ("dynamodb_wrapper", "examples/lambda_tree_chat"):
            shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__", "README.md"))
        shutil.copy(ROOT / "examples" / "__init__.py", target / "examples")
        for name in LEFT_OUT:
            path = target / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if with_bytecode:
            compile_for(python, target)
        pack(target, output)


def compile_for(python: str, target: Path) -> None:
    """Put bytecode beside the code: where Lambda has it nothing can be written, so each cold start would compile."""
    interpreter = sys.executable if python == THIS_PYTHON else shutil.which(f"python{python}")
    if interpreter is None or subprocess.run([interpreter, "-c", ""], capture_output=True, check=False).returncode:
        print(f"no python{python} works here, so the zip has no bytecode, and cold starts take twice as long")
        return
    # The time stamps of a zip are not those of the files that it was made from: Python is told not to look at them.
    command = [interpreter, "-m", "compileall", "-qq", "-s", str(target), "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, str(target)], check=True)


def copy_installed(target: Path) -> None:
    for name in NEEDED:
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or ():
            if ".dist-info" not in file.parts[0] and "__pycache__" not in file.parts and ".." not in file.parts:
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(distribution.locate_file(file)), target / file)


def fetch(target: Path, platform: str, python: str) -> None:
    versions = [f"{name}=={importlib.metadata.version(name)}" for name in NEEDED]
    chosen = ["--platform", platform, "--python-version", python, "--only-binary", ":all:", "--no-deps", "--no-compile"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--target", str(target), *chosen, *versions], check=True
    )
    for metadata in target.glob("*.dist-info"):
        shutil.rmtree(metadata)


def pack(folder: Path, output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(entry for entry in folder.rglob("*") if entry.is_file()):
            entry = zipfile.ZipInfo(str(path.relative_to(folder)), _DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def contents(output: Path) -> list[str]:
    """Say how large the zip is, and what takes the room."""
    packed: Counter[str] = Counter()
    unpacked: Counter[str] = Counter()
    with zipfile.ZipFile(output) as archive:
        for entry in archive.infolist():
            top = entry.filename.split("/")[0]
            packed[top] += entry.compress_size
            unpacked[top] += entry.file_size
    lines = [f"{output}: {output.stat().st_size / 1e6:.2f} MB, {sum(unpacked.values()) / 1e6:.2f} MB unpacked"]
    return lines + [
        f"  {name:22} {size / 1e6:5.2f} MB, {unpacked[name] / 1e6:5.2f} MB" for name, size in packed.most_common()
    ]


if __name__ == "__main__":
    main()
