"""The spans of doing: tools, skills, programs, and health checks."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from taskscope.semconv import attributes as attr
from taskscope.semconv import spans as names

from .guard import guarded
from .operation import Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .context import Frame


class ToolSpan(Operation):
    """One use of a tool."""

    names_agent = True
    phase = "execute"

    @guarded
    def record_output(self, size_bytes: int, *, is_truncated: bool = False) -> None:
        """Say how much came out, cut or not."""
        self.update({attr.TOOL_OUTPUT_SIZE: size_bytes, attr.TOOL_OUTPUT_TRUNCATED: is_truncated or None})


class SkillSpan(ToolSpan):
    """One use of a skill, as the tool call that carries it out."""

    def __init__(self, skill: str, facts: Mapping[str, object], *, tool: str) -> None:
        self._skill = skill
        super().__init__(f"{names.EXECUTE_TOOL} {tool} {skill}", facts)

    def _reset(self) -> None:
        super()._reset()
        self._outcome: str | None = None

    @guarded
    def finish(self, outcome: str, *, error_type: str | None = None, description: str = "") -> None:
        """Say how it ended; without it, it `succeeded` unless an exception left it."""
        self._outcome = outcome
        self.set(attr.SKILL_OUTCOME, outcome)
        if outcome == "failed":
            self.fail(error_type or names.ERROR_OTHER, description)

    def _identify(self, frame: Frame) -> None:
        super()._identify(frame)
        frame.skill = self._skill

    def _complete(self) -> None:
        if self._outcome is None:
            self.finish("succeeded")

    def _break(self, error: BaseException) -> None:  # noqa: ARG002 - the hook's own
        self.set(attr.SKILL_OUTCOME, "failed")


class CommandSpan(Operation):
    """One program, from its start to its end."""

    @guarded
    def finish(self, *, pid: int, exit_code: int | None, is_timed_out: bool = False) -> None:
        """Say how the program ended: an exit code other than 0 is an error, None is a kill at the limit."""
        self.update({attr.PROCESS_PID: pid, attr.PROCESS_EXIT_CODE: exit_code})
        if is_timed_out or exit_code is None:
            self.fail(names.ERROR_TIMEOUT, "killed at its limit")
        elif exit_code != 0:
            self.fail(str(exit_code), f"exit code {exit_code}")


class HealthSpan(Operation):
    """One run of a health check: a trace of its own, whoever asked for it."""

    @guarded
    def finish(
        self,
        status: str,
        *,
        consecutive_failures: int = 0,
        description: str = "",
        error_type: str | None = None,
    ) -> None:
        """Say what the check found: pass, warn or fail (an error)."""
        self.update({attr.HEALTH_STATUS: status, attr.HEALTH_CONSECUTIVE_FAILURES: consecutive_failures})
        if status == "fail":
            self.fail(error_type or names.ERROR_OTHER, description)

    def _break(self, error: BaseException) -> None:  # noqa: ARG002 - the hook's own
        self.set(attr.HEALTH_STATUS, "fail")

    def _identify(self, frame: Frame) -> None:
        frame.task_id = frame.task_kind = frame.agent = frame.skill = frame.phase = None
        frame.task = frame.llm = frame.steps = frame.step_index = None

    def _parent_context(self) -> Context:
        return Context()


def tool(
    name: str,
    *,
    tool_type: str = "function",
    call_id: str | None = None,
) -> ToolSpan:
    """`execute_tool {name}`: one use of a tool; `tool_type` function, extension or datastore.

    gen_ai.tool.name, .tool.type, .tool.call.id, .agent.name at the start; taskscope.tool.output_*.
    """
    facts = {
        attr.GEN_AI_OPERATION_NAME: names.EXECUTE_TOOL,
        attr.GEN_AI_TOOL_NAME: name,
        attr.GEN_AI_TOOL_TYPE: tool_type,
        attr.GEN_AI_TOOL_CALL_ID: call_id,
    }
    return ToolSpan(f"{names.EXECUTE_TOOL} {name}", facts)


def skill(name: str, *, tool: str = "skill", description: str | None = None) -> SkillSpan:
    """`execute_tool {tool} {name}`: one use of a skill.

    gen_ai.tool.name, .tool.type, .skill.name, .skill.description, .agent.name at the start;
    taskscope.skill.outcome at the end.
    """
    facts = {
        attr.GEN_AI_OPERATION_NAME: names.EXECUTE_TOOL,
        attr.GEN_AI_TOOL_NAME: tool,
        attr.GEN_AI_TOOL_TYPE: names.TOOL_TYPES[0],
        attr.GEN_AI_SKILL_NAME: name,
        attr.GEN_AI_SKILL_DESCRIPTION: description,
    }
    return SkillSpan(name, facts, tool=tool)


def command(executable: str) -> CommandSpan:
    """`{executable}` CLIENT: one program; a path is cut to its file name, arguments are never recorded.

    process.executable.name at the start; process.pid, .exit.code at the end.
    """
    name = PurePath(executable).name or executable
    return CommandSpan(name, {attr.PROCESS_EXECUTABLE_NAME: name}, kind=SpanKind.CLIENT)


def health_check(check: str, *, group: str, required: bool, started_ns: int | None = None) -> HealthSpan:
    """`health_check {check}`: one run of a check, always the root of its own trace.

    `started_ns` when the run is over already.
    taskscope.health.check, .group, .required at the start; .status, .consecutive_failures at the end.
    """
    facts = {
        attr.HEALTH_CHECK: check,
        attr.HEALTH_GROUP: group,
        attr.HEALTH_REQUIRED: required,
    }
    return HealthSpan(f"{names.HEALTH_CHECK} {check}", facts, started_ns=started_ns)
