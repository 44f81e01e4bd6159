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
    openssl(
        "req", "-x509", *new_key, "-keyout", authority_key, "-out", authority, "-days", 2, "-subj", "/CN=Benchmarks"
    )
    openssl("req", *new_key, "-keyout", key, "-out", request, "-subj", "/CN=localhost")
    signed_by = ["-CA", authority, "-CAkey", authority_key, "-CAcreateserial"]
    openssl("x509", "-req", "-in", request, *signed_by, "-extfile", names, "-days", 2, "-out", chain)
    return Certificate(authority, chain, key)


def openssl(*arguments: object) -> None:
    """Run ``openssl``.

    Raises:
        FileNotFoundError: There is none.
        subprocess.CalledProcessError: It failed.
    """
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
