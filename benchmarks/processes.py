"""The processes of a run: the canned server, and those in which candidates are measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.cases import Case
from benchmarks.certificate import make_certificate
from benchmarks.environments import ROOT
from benchmarks.peers import ABSENT, Peer, SkippedError


@dataclass(frozen=True)
class Server:
    """The canned server.

    Attributes:
        url: Without TLS.
        tls_url: With TLS, or None if no certificate could be made.
        authority: The certificate of the authority to trust.
    """

    url: str
    tls_url: str | None
    authority: Path | None


@contextmanager
def canned_server() -> Iterator[Server]:
    """Run the canned server in a process of its own."""
    with TemporaryDirectory() as folder:
        try:
            certificate = make_certificate(Path(folder))
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            print(f"no TLS: openssl: {error}", file=sys.stderr)
            certificate = None
        files = [str(certificate.chain), str(certificate.key)] if certificate else []
        command = [sys.executable, "-m", "benchmarks.canned_server", *files]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            ports = process.stdout.readline().split()
            tls_url = f"https://localhost:{ports[1]}" if certificate else None
            yield Server(f"http://127.0.0.1:{ports[0]}", tls_url, certificate.authority if certificate else None)
            process.stdin.close()


def variables(peer: Peer, server: Server) -> dict[str, str]:
    """Return the environment variables of a candidate's process: of this one, nothing about AWS, proxies or Python."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    trusted = {}
    if server.authority is not None:
        trusted = dict.fromkeys(("AWS_CA_BUNDLE", "SSL_CERT_FILE"), str(server.authority))
    return {
        **kept,
        **trusted,
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": "0",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE0000000000",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        **peer.variables,
    }


@dataclass(frozen=True)
class Sample:
    """One measurement.

    Attributes:
        seconds: CPU.
        calibration: CPU seconds of the fixed work, right before and after.
        others: Further figures: ``wall`` seconds, ``peak`` or ``above`` in MB, ``connections``.
    """

    seconds: float
    calibration: float
    others: dict[str, float]


class Candidate:
    """A peer in its processes.

    Attributes:
        peer: Which.
        python: The version of its Python.
        versions: Of its packages.
    """

    def __init__(self, peer: Peer, interpreter: Path, server: Server) -> None:
        """Start its lasting process.

        Raises:
            SkippedError: It cannot be imported there.
        """
        self.peer = peer
        self._interpreter, self._server, self._variables = interpreter, server, variables(peer, server)
        self._process = subprocess.Popen(
            [interpreter, "-m", "benchmarks.worker", peer.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=self._variables,
        )
        answer = self._answer()
        self.python: str = answer["python"]
        self.versions: dict[str, str] = answer["versions"]

    def measure(self, case: Case, seconds: float) -> Sample:
        """Return one measurement of a case.

        Args:
            case: Which.
            seconds: CPU that it should take; a call that takes more is made once.

        Raises:
            SkippedError: It cannot be done; says why.
        """
        if case.kind == "fresh":
            return sample(self._in_fresh_process(case))
        url = self._server.tls_url if case.tls else self._server.url
        if url is None:
            raise SkippedError("there is no openssl")
        order = {key: value for key, value in asdict(case).items() if key in ("kind", "at_once")}
        order |= {"operation": case.operation or case.name, "url": url, "seconds": seconds}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return sample(self._answer())

    def close(self) -> None:
        """End its process."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return read(line) if line else read(json.dumps({"error": "failed: its process has ended"}))

    def _in_fresh_process(self, case: Case) -> dict[str, Any]:
        items = [str(case.items)] if case.items else []
        program = ["-m", "benchmarks.fresh", self.peer.module, case.operation, self._server.url]
        command = [str(self._interpreter), *program, *items]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=self._variables)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            if "AttributeError: module 'benchmarks.peers." in said:  # it has no such function
                raise SkippedError(ABSENT)
            _, is_skipped, reason = said.partition("SkippedError: ")
            raise SkippedError(reason if is_skipped else f"failed: {said}")
        return read(done.stdout)


def read(line: str) -> dict[str, Any]:
    """Return what a process answered.

    Raises:
        SkippedError: It could not do it.
    """
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise SkippedError(answer["error"])
    return answer


def sample(answer: dict[str, Any]) -> Sample:
    """Return the measurement in an answer."""
    return Sample(answer.pop("seconds"), answer.pop("calibration"), answer)
