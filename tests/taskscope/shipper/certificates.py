"""An authority of our own, a server's and a client's certificate, made anew by openssl."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from pathlib import Path


class Certificates(NamedTuple):
    """Files in PEM; the server is 127.0.0.1."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Make them; without openssl the test is skipped."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    what = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *what.split(), *files], check=True, capture_output=True)
    return Certificates(certificate, certificate, key)
