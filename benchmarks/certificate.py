"""A certificate authority and a certificate for localhost, made with ``openssl``."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n"


class Certificate(NamedTuple):
    """Files in PEM form."""

    authority: Path
    chain: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """Return a new certificate, signed by an authority of its own (rustls refuses one that signs itself).

    Raises:
        FileNotFoundError: There is no ``openssl``.
        subprocess.CalledProcessError: It failed.
    """
    authority, chain, key = folder / "authority.pem", folder / "server.pem", folder / "server.key"
    names, request, authority_key = folder / "names.cnf", folder / "server.csr", folder / "authority.key"
    names.write_text(NAMES)
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
        ["req", "-x509", *new_key, "-keyout", authority_key, "-out", authority, "-days", "2", "-subj", "/CN=Benchmarks"],
        ["req", *new_key, "-keyout", key, "-out", request, "-subj", "/CN=localhost"],
        ["x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority_key, "-CAcreateserial"]
        + ["-extfile", names, "-days", "2", "-out", chain],
    ):  # fmt: skip
        subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)
    return Certificate(authority, chain, key)
