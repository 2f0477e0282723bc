"""The demo shows what it promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_demo(tmp_path: Path) -> None:
    """Without a terminal, the demo repairs, meets its limit, survives kill -9, and tells time and cost."""
    folder = tmp_path / "demo"
    command = [sys.executable, str(EXAMPLES / "demo.py"), "--folder", str(folder)]
    # A person's settings must not make it another demo.
    environment = {**os.environ, "AGENT_MODEL": "openai:none", "AGENT_HOME": str(tmp_path / "mine")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, third, fourth = done.stdout.split("\n====")[2::2]
    assert "✓ invoke_workflow repair" in first
    assert "succeeded, the repository's own checks pass" in first
    assert "  19 passed in" in first
    assert "needs a language model: beyond the rules" in second
    assert "test_a_coupon_takes_five_euros_off_before_tax" in second
    assert "⚡ execute_tool pytest  interrupted after" in third
    assert "✓ step lint" in third
    assert "no LLM calls" in fourth
    assert not (tmp_path / "mine").exists()
    rows = json.loads(_ask(folder, "history"))
    assert [row["outcome"] for row in rows] == ["interrupted", "needs_llm", "succeeded"]


def _ask(folder: Path, command: str) -> str:
    environment = {**os.environ, "AGENT_HOME": str(folder / "home")}
    arguments = [sys.executable, "-m", "taskscope", command, "--json"]
    done = subprocess.run(arguments, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout
