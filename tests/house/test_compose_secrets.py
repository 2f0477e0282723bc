"""`make compose-secrets`: a password nobody else knows, made once."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of what the target needs."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/compose_secrets.py", tmp_path / "tools")
    return tmp_path


def make_secrets(house: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--no-print-directory", "compose-secrets", f"PYTHON={sys.executable}"]
    return subprocess.run(
        command, cwd=house, env=environment, capture_output=True, text=True, check=True
    ).stdout


def read_password(env: Path) -> str:
    found = re.findall(r"^GRAFANA_ADMIN_PASSWORD=(\S+)$", env.read_text(), re.MULTILINE)
    assert len(found) == 1, env.read_text()
    return str(found[0])


def test_the_password_is_long_and_for_its_owner_alone(house: Path) -> None:
    """It has 32 characters, the file mode 600, and the output names the place without the password."""
    said = make_secrets(house)
    env = house / ".env"
    assert len(read_password(env)) == 32
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert f"made the password of Grafana's user admin: GRAFANA_ADMIN_PASSWORD in {env}" in said
    assert read_password(env) not in said


def test_a_second_call_changes_nothing(house: Path) -> None:
    """Grafana's volume holds the first password, so that stays."""
    make_secrets(house)
    before = (house / ".env").read_bytes()
    assert "kept the password" in make_secrets(house)
    assert (house / ".env").read_bytes() == before


def test_two_houses_have_two_passwords(house: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No password is a default."""
    other = tmp_path_factory.mktemp("other") / "house"
    shutil.copytree(house, other)
    for place in (house, other):
        make_secrets(place)
    assert read_password(house / ".env") != read_password(other / ".env")


def test_what_the_person_wrote_stays(house: Path) -> None:
    """Lines that are there stay, also without a newline at the end; the mode becomes 600."""
    env = house / ".env"
    env.write_text("OPENAI_API_KEY=sk-made-up")
    env.chmod(0o644)
    make_secrets(house)
    assert env.read_text().splitlines()[0] == "OPENAI_API_KEY=sk-made-up"
    assert len(read_password(env)) == 32
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
