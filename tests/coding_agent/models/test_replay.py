"""Recordings and their replay: strict, portable, and honest about where they come from."""

from __future__ import annotations

import json
import stat
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coding_agent.errors import AgentError, ReplayMismatchError
from coding_agent.models import ReplayModel, build_model
from coding_agent.records import Message, Reply, ToolCall
from tests.coding_agent.models.conversations import ASK, FOLLOW_UP, KEY, TOOL, settings_for
from tests.providers import (
    Answer,
    ScriptedProvider,
    call_tool,
    chat_completion,
    completion_without_usage,
    message,
    too_many_requests,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HEADER = {"format": "model-recording", "version": 1, "origin": "synthetic", "api": "openai.chat_completions"}
ANSWER = {"choices": [{"message": {"role": "assistant", "content": "Fine."}, "finish_reason": "stop"}]}


def capture(path: Path, name: str, answers: Sequence[Answer]) -> list[Reply]:
    """Ask twice, the second time with a tool's result, and record both."""
    with (
        ScriptedProvider(answers) as provider,
        closing(build_model(f"{name}:scripted", settings_for(provider, record_model_to=path))) as model,
    ):
        return [model.complete(ASK, [TOOL]), model.complete(FOLLOW_UP, [TOOL])]


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    return path


def request(*texts: str) -> dict[str, object]:
    return {"model": "scripted", "messages": [{"role": "user", "content": text} for text in texts]}


def exchange(*texts: str) -> dict[str, object]:
    return {"request": request(*texts), "response": ANSWER}


def user(text: str) -> Message:
    return Message(role="user", text=text)


@pytest.mark.parametrize("name, answer", [("openai", chat_completion), ("anthropic", message)])
def test_replay_gives_what_was_recorded(name: str, answer: Callable[..., Answer], tmp_path: Path) -> None:
    """Captured from the real client, replayed without one: the same replies, ids and tokens included."""
    path = tmp_path / "recording.jsonl"
    calls = [call_tool("edit_file", {"path": "a.py"})]
    live = capture(path, name, [answer("Let me see.", calls), answer("Done.")])
    with closing(ReplayModel(path)) as model:
        again = [model.complete(ASK, [TOOL]), model.complete(FOLLOW_UP, [TOOL])]
    assert again == live
    assert (model.name, model.provider, model.mode, model.origin) == (
        "scripted",
        "local",
        "replay",
        "captured",
    )


def test_replayed_call_has_no_retries(tmp_path: Path) -> None:
    """Retries of the recorded call are not those of the replay: nothing was sent."""
    path = tmp_path / "recording.jsonl"
    live = capture(path, "openai", [too_many_requests(), completion_without_usage(), chat_completion("b")])
    model = ReplayModel(path)
    assert (live[0].retry_count, model.complete(ASK, [TOOL]).retry_count) == (1, 0)


def test_missing_usage_is_replayed_as_missing(tmp_path: Path) -> None:
    """What no provider counted is not counted later."""
    path = tmp_path / "recording.jsonl"
    capture(path, "openai", [completion_without_usage(), chat_completion("b")])
    assert ReplayModel(path).complete(ASK, [TOOL]).usage is None


def test_recording_holds_no_key_and_no_address(tmp_path: Path) -> None:
    """Bodies only, a key that the answer repeats is blanked, and only the owner may read the file."""
    path = tmp_path / "recording.jsonl"
    capture(path, "openai", [chat_completion(f"your key is {KEY}"), chat_completion("b")])
    text = path.read_text("utf-8")
    assert "your key is [redacted:api_key]" in text
    assert not [word for word in (KEY, "127.0.0.1", "Bearer", "authorization") if word in text]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_recording_is_on_disk_after_each_exchange(tmp_path: Path) -> None:
    """A killed task leaves the exchanges that it had."""
    path = tmp_path / "recording.jsonl"
    with (
        ScriptedProvider([chat_completion("a")]) as provider,
        closing(build_model("openai:scripted", settings_for(provider, record_model_to=path))) as model,
    ):
        assert not path.exists()
        model.complete(ASK)
        assert len(path.read_text("utf-8").splitlines()) == 2


def test_existing_recording_is_not_overwritten(tmp_path: Path) -> None:
    """Nothing is lost, and it is said before a call is paid for."""
    path = write(tmp_path / "recording.jsonl", HEADER)
    with ScriptedProvider() as provider, pytest.raises(AgentError, match="exists already"):
        build_model("openai:scripted", settings_for(provider, record_model_to=path))


def test_recording_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    """A folder that is missing is said before a call is paid for."""
    path = tmp_path / "missing" / "recording.jsonl"
    with ScriptedProvider() as provider, pytest.raises(AgentError, match="missing or not writable"):
        build_model("openai:scripted", settings_for(provider, record_model_to=path))


@pytest.mark.parametrize("spoiler", [Path.touch, Path.mkdir])
def test_file_that_appears_meanwhile_is_not_overwritten(
    spoiler: Callable[[Path], None], tmp_path: Path
) -> None:
    """Two recorders of one name: the second one fails instead of mixing its lines in."""
    path = tmp_path / "recording.jsonl"
    with (
        ScriptedProvider([chat_completion("a")]) as provider,
        closing(build_model("openai:scripted", settings_for(provider, record_model_to=path))) as model,
    ):
        spoiler(path)
        with pytest.raises(AgentError, match="exists already"):
            model.complete(ASK)


def test_recording_that_can_be_written_no_more_is_an_error(tmp_path: Path) -> None:
    """A file that went away in the middle is said, and not begun anew without its header."""
    path = tmp_path / "recording.jsonl"
    with (
        ScriptedProvider([chat_completion("a"), chat_completion("b")]) as provider,
        closing(build_model("openai:scripted", settings_for(provider, record_model_to=path))) as model,
    ):
        model.complete(ASK)
        path.unlink()
        with pytest.raises(AgentError, match=r"cannot write the recording .*: No such file"):
            model.complete(ASK)


def test_another_request_is_refused_at_the_first_difference(tmp_path: Path) -> None:
    """The message names file, line, place and both texts around the difference."""
    path = write(tmp_path / "r.jsonl", HEADER, exchange("mend a.py"))
    with pytest.raises(ReplayMismatchError) as caught:
        ReplayModel(path).complete([user("mend b.py")])
    assert str(caught.value) == (
        f"recording {str(path)!r} does not match: line 2 answers another request: messages[0].content: "
        "recorded 'mend a.py', asked 'mend b.py' (from character 6 on)"
    )


def test_another_tool_is_refused(tmp_path: Path) -> None:
    """Tools are part of what was asked."""
    path = write(tmp_path / "r.jsonl", HEADER, exchange("a"))
    with pytest.raises(ReplayMismatchError, match=r"tools\[0\]: recorded nothing, asked"):
        ReplayModel(path).complete([user("a")], [TOOL])


def test_model_changed_within_a_recording_is_refused(tmp_path: Path) -> None:
    """One task asks one model: another one further down is another recording."""
    other = {"request": {**request("b"), "model": "other"}, "response": ANSWER}
    model = ReplayModel(write(tmp_path / "r.jsonl", HEADER, exchange("a"), other))
    model.complete([user("a")])
    with pytest.raises(ReplayMismatchError, match="model: recorded 'other', asked 'scripted'"):
        model.complete([user("b")])


def test_one_request_too_many_is_refused(tmp_path: Path) -> None:
    """After the last answer there is none."""
    model = ReplayModel(write(tmp_path / "r.jsonl", HEADER, exchange("a")))
    model.complete([user("a")])
    with pytest.raises(ReplayMismatchError, match=r"holds 1 answer\(s\), and one more is asked for"):
        model.complete([user("a")])


def test_answer_left_over_is_an_error_at_close(tmp_path: Path) -> None:
    """A task that went another way than its recording says so, once."""
    model = ReplayModel(write(tmp_path / "r.jsonl", HEADER, exchange("a"), exchange("b")))
    model.complete([user("a")])
    with pytest.raises(ReplayMismatchError, match="1 of 2 answers were not asked for, from line 3 on"):
        model.close()
    model.close()


def test_mismatch_is_told_once(tmp_path: Path) -> None:
    """After another request the answers left over are no second error."""
    model = ReplayModel(write(tmp_path / "r.jsonl", HEADER, exchange("a"), exchange("b")))
    with pytest.raises(ReplayMismatchError):
        model.complete([user("b")])
    model.close()


def test_synthetic_recording_carries_no_usage(tmp_path: Path) -> None:
    """Tokens that no provider counted are refused, by line."""
    spoken = {"request": request("a"), "response": {**ANSWER, "usage": {"prompt_tokens": 1}}}
    path = write(tmp_path / "r.jsonl", HEADER, exchange("a"), spoken)
    with pytest.raises(AgentError, match="line 3: a synthetic recording carries no usage"):
        ReplayModel(path)


def test_synthetic_recording_says_so(tmp_path: Path) -> None:
    """Whoever shows the task can tell that nobody answered so."""
    model = ReplayModel(write(tmp_path / "r.jsonl", HEADER, exchange("a")))
    reply = model.complete([user("a")])
    assert (model.origin, model.provider, reply.usage) == ("synthetic", "openai", None)


@pytest.mark.parametrize(
    "lines, reason",
    [
        ((), "line 1: the header has format None"),
        ((HEADER,), "line 1: no exchange follows"),
        (({**HEADER, "version": 2}, exchange("a")), "version 2, expected '1'"),
        (({**HEADER, "version": True}, exchange("a")), "version True"),
        (({**HEADER, "origin": "made up"}, exchange("a")), "expected 'captured' or 'synthetic'"),
        (
            ({**HEADER, "api": "x"}, exchange("a")),
            "expected 'openai.chat_completions' or 'anthropic.messages'",
        ),
        ((HEADER, {"request": {}}), "line 2: it needs the objects"),
        ((HEADER, {"request": {}, "response": {}}), "line 2: the request names no model"),
        ((HEADER, [1]), "line 2: it is no JSON object"),
    ],
)
def test_wrong_recording_is_refused_by_line(lines: Sequence[object], reason: str, tmp_path: Path) -> None:
    """A file that is no recording says where and what was expected."""
    with pytest.raises(AgentError) as caught:
        ReplayModel(write(tmp_path / "r.jsonl", *lines))
    assert reason in str(caught.value)
    assert "docs/recordings.md" in caught.value.hint


@pytest.mark.parametrize("data, reason", [(b"{", "line 1: it is no JSON"), (b"\xff", "it is not UTF-8")])
def test_file_that_is_no_text_is_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    """Neither half a line nor bytes get to the parser of a provider."""
    path = tmp_path / "r.jsonl"
    path.write_bytes(data)
    with pytest.raises(AgentError, match=reason):
        ReplayModel(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """The path that was given stands in the message."""
    with ScriptedProvider() as provider, pytest.raises(AgentError, match=r"none\.jsonl': No such file"):
        build_model(f"replay:{tmp_path / 'none.jsonl'}", settings_for(provider, live_models=False))


def test_documented_example_is_a_recording(tmp_path: Path) -> None:
    """The lines of docs/recordings.md replay as the page says."""
    page = (Path(__file__).parents[3] / "docs" / "recordings.md").read_text("utf-8")
    path = tmp_path / "r.jsonl"
    path.write_text(page.partition("```jsonl\n")[2].partition("```")[0], "utf-8")
    with closing(ReplayModel(path)) as model:
        reply = model.complete([user("Which file holds the cart?")], [TOOL])
    assert reply.tool_calls == (ToolCall(id="call_1", name="edit_file", arguments={"path": "cart.py"}),)
