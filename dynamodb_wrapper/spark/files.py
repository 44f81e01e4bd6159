"""Small files of JSON lines, in a folder or on any filesystem that pyarrow knows (s3://, gs://, hdfs://, file://)."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from pyarrow import fs


def write_lines(folder: str, name: str, entries: Iterable[Mapping[str, Any]]) -> str:
    """Write one file of JSON lines, replacing one of that name, and return where it is."""
    lines = "".join(json.dumps(entry, default=_text, ensure_ascii=False) + "\n" for entry in entries)
    if "://" in folder:
        filesystem, path = fs.FileSystem.from_uri(folder)
    else:
        filesystem, path = fs.LocalFileSystem(), os.path.abspath(folder)
    filesystem.create_dir(path, recursive=True)
    place = f"{path}/{name}"
    with filesystem.open_output_stream(place) as stream:
        stream.write(lines.encode())
    return place


def _text(value: object) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
