"""What happens in the fleet, by name: each scenario is a function that does real runs on a host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from stack.fleet import models, patients
from tests.providers import Answer, ScriptedProvider, refused, server_error, too_many_requests

from .host import Host, kill, wait_for
from .runs import Expected, Run

Act = Callable[[Host], list[Run]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that happens, where, and to what end."""

    name: str
    host: str
    """`well` or `ill`: the host whose checks pass, or the other."""
    purpose: str
    act: Act


_ENOUGH: Final = 30
"""Refusals: more than the client's own repetitions."""
_CALL: Final = Expected(
    "succeeded",
    None,
    "known",
    1,
    models.INPUT,
    models.OUTPUT,
    models.MICRO_USD,
)
_EMBEDDER_FAILED: Final = Expected("succeeded", None, "unknown")
_UNPRICED: Final = replace(_CALL, cost_status="unknown", micro_usd=None)


def good(host: Host) -> list[Run]:
    """Rules mend a missing colon, and the tests pass."""
    return [_run(host, "good", Expected("succeeded"), patients.COLON)]


def learned(host: Host) -> list[Run]:
    """A missing import is mended and learned; the next time the lesson is at hand."""
    return [_run(host, "learned", Expected("succeeded"), patients.IMPORT) for _ in range(2)]


def needs_llm(host: Host) -> list[Run]:
    """A wish that no rule can grant."""
    return [_run(host, "needs_llm", Expected("needs_llm"), patients.WISH)]


def needs_review(host: Host) -> list[Run]:
    """A repair that nothing there could verify."""
    return [_run(host, "needs_review", Expected("needs_review"), patients.UNTESTED)]


def searched(host: Host) -> list[Run]:
    """Passages are found by words and by vectors of an embedder behind HTTP."""
    with ScriptedProvider() as provider:
        settings = {
            "AGENT_EMBEDDER": f"openai:{models.EMBEDDER}",
            "OPENAI_BASE_URL": provider.openai_url,
        }
        first = _run(host, "searched", Expected("succeeded"), patients.LARGE, **settings)
        cost = sum(models.price_embedding(received.body) for received in provider.received)
        first.expected = Expected("succeeded", None, "known", micro_usd=cost)
        # All texts are in the cache of vectors by now.
        return [first, _run(host, "searched", Expected("succeeded"), patients.LARGE, **settings)]


def searched_in_vain(host: Host) -> list[Run]:
    """An embedder that has no vectors for anybody: words alone must do."""
    with models.BrokenEmbedder() as provider:
        settings = {
            "AGENT_EMBEDDER": f"openai:{models.EMBEDDER}",
            "OPENAI_BASE_URL": provider.openai_url,
        }
        return [_run(host, "searched_in_vain", _EMBEDDER_FAILED, patients.LARGE, **settings)]


def searched_long(host: Host) -> list[Run]:
    """A dozen questions at once, to an embedder that takes three seconds for each."""
    with models.SlowEmbedder() as provider:
        said = host.run_agent("searcher.py", "12", OPENAI_BASE_URL=provider.openai_url)
    return [_find_run(host, "searched_long", said["task_id"], Expected("succeeded"))]


def expensive(host: Host) -> list[Run]:
    """A call that costs most of the daily cap."""
    return [_ask(host, "expensive", _CALL, patients.COLON, [models.choose_skill()])]


def over_cap(host: Host) -> list[Run]:
    """Another call, which goes over the daily cap, and one that is not made any more."""
    refused_call = Expected("stopped", "budget_exceeded")
    return [
        _ask(host, "over_cap", expected, patients.COLON, [models.choose_skill()])
        for expected in (_CALL, refused_call)
    ]


def unpriced(host: Host) -> list[Run]:
    """A call of a model that nobody has priced, and one that does not say what it used."""
    house = f"openai:{models.UNPRICED}"
    silent = Expected("failed", "model_error", "unknown", 2)  # an answer without a call is asked for again
    return [
        _ask(host, "unpriced", _UNPRICED, patients.COLON, [models.choose_skill()], model=house),
        _ask(host, "unpriced", silent, patients.WRONG, [models.say_nothing_of_use()] * 2),
    ]


def failing(host: Host) -> list[Run]:
    """Three tasks in a row whose tests fail after the model has given up."""
    expected = replace(_CALL, outcome="failed", error_type="verification_failed")
    return [_ask(host, "failing", expected, patients.WRONG, [models.give_up()]) for _ in range(3)]


def llm_error(host: Host) -> list[Run]:
    """Calls that the provider refuses for good, or cannot answer."""
    return [
        _ask(host, "llm_error", Expected("failed", status, "unknown", 1), patients.COLON, answers)
        for status, answers in (("400", [refused(400, "no such model")]), ("500", [server_error()] * _ENOUGH))
    ]


def rate_limited(host: Host) -> list[Run]:
    """Calls that are refused for their rate until the client gives up."""
    expected = Expected("failed", "429", "unknown", 1)
    answers = [too_many_requests()] * _ENOUGH
    return [_ask(host, "rate_limited", expected, patients.COLON, answers) for _ in range(4)]


def retried(host: Host) -> list[Run]:
    """A call that is refused for its rate once, and answered then."""
    return [_ask(host, "retried", _CALL, patients.COLON, [too_many_requests(), models.choose_skill()])]


def stopped(host: Host) -> list[Run]:
    """A task whose time is up in the middle of its tests."""
    return [_run(host, "stopped", Expected("stopped", "timeout"), patients.SLOW, "--timeout", "4s")]


def killed(host: Host) -> list[Run]:
    """A task whose process is killed in the middle of its tests: `kill -9`."""
    repository = host.make_repository(patients.SLOW)
    process = host.start_task(repository)
    wait_for(lambda: host.is_testing(repository), "the task that is to be killed is at its tests")
    kill(process)
    found = wait_for(lambda: host.find_task(repository), "the killed task is in the ledger")
    return [_make_run(host, "killed", found, Expected("interrupted", "interrupted"))]


def stuck(host: Host) -> list[Run]:
    """A task that is open and says nothing, as long as the fleet is open."""
    repository = host.make_repository(patients.SLOW)
    host.start_task(repository, AGENT_COMMAND_TIMEOUT="1d")
    wait_for(lambda: host.is_testing(repository), "the task that gets stuck is at its tests")
    found = wait_for(lambda: host.find_task(repository), "the stuck task is in the ledger")
    return [_make_run(host, "stuck", found, Expected("running"))]


def own_agent(host: Host) -> list[Run]:
    """An agent of somebody's own, with steps that it begins again and a fault in its telemetry."""
    said = host.run_agent("own.py")
    expected = Expected("succeeded", None, "no_llm_calls", 2, 10, 6)
    return [_find_run(host, "own_agent", said["task_id"], expected)]


def foreign(host: Host) -> list[Run]:
    """Agents on OpenTelemetry's own SDK, in the words of six instrumentations; one fails three times."""
    well = ("genai", "older-genai", "openllmetry", "vercel", "pydantic-ai")
    fails = _run_foreign(host, "openinference", "--tasks", "3", "--end", "failed")
    return [*fails, *(run for dialect in well for run in _run_foreign(host, dialect))]


def _run_foreign(host: Host, dialect: str, *options: str) -> list[Run]:
    service = f"foreign-{dialect}"
    said = host.run_agent("foreign.py", dialect, *options, OTEL_SERVICE_NAME=service)
    tokens = {"input_tokens": said["input"], "output_tokens": said["output"]}
    expected = Expected("succeeded", **tokens)
    if "failed" in options:
        expected = Expected("failed", "TimeoutError", **tokens)
    return [Run("foreign", host.name, service, trace_id, expected) for trace_id in said["traces"]]


def _ask(
    host: Host,
    name: str,
    expected: Expected,
    files: dict[str, str],
    answers: Sequence[Answer],
    *,
    model: str = f"openai:{models.PRICED}",
) -> Run:
    with ScriptedProvider(answers) as provider:
        return _run(host, name, expected, files, "--model", model, OPENAI_BASE_URL=provider.openai_url)


def _run(
    host: Host, name: str, expected: Expected, files: dict[str, str], *options: str, **settings: str
) -> Run:
    said = host.run_task(host.make_repository(files), *options, **settings)
    return _make_run(host, name, said, expected)


def _find_run(host: Host, name: str, task_id: str, expected: Expected) -> Run:
    found = next(task for task in host.find_tasks() if task["task_id"] == task_id)
    return _make_run(host, name, found, expected)


def _make_run(host: Host, name: str, said: dict[str, Any], expected: Expected) -> Run:
    return Run(name, host.name, host.service, said["trace_id"], expected, said["task_id"])


def _describe(name: str, host: str, act: Act) -> Scenario:
    return Scenario(name, host, (act.__doc__ or "").splitlines()[0], act)


STANDARD: Final = (
    _describe("good", "well", good),
    _describe("learned", "well", learned),
    _describe("searched", "well", searched),
    _describe("expensive", "well", expensive),
    _describe("needs_review", "well", needs_review),
    _describe("foreign", "well", foreign),
    _describe("own_agent", "well", own_agent),
    _describe("searched_long", "well", searched_long),
    _describe("over_cap", "well", over_cap),
    _describe("stuck", "ill", stuck),
    _describe("rate_limited", "ill", rate_limited),
    _describe("retried", "ill", retried),
    _describe("llm_error", "ill", llm_error),
    _describe("needs_llm", "ill", needs_llm),
    _describe("searched_in_vain", "ill", searched_in_vain),
    _describe("unpriced", "ill", unpriced),
    _describe("stopped", "ill", stopped),
    _describe("killed", "ill", killed),
    _describe("failing", "ill", failing),
)
"""In the order in which each host does them; the last ones leave a row of failures behind."""
SCENARIOS: Final = {scenario.name: scenario for scenario in STANDARD}
