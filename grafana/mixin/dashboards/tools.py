"""Tools, the commands behind them, steps and plans."""

from __future__ import annotations

from typing import Final

from grafana.mixin.builders import chart, grown_by, instant, lines, log, search, table
from grafana.mixin.panels import Page, Query, Row
from grafana.mixin.queries import (
    events,
    grown,
    is_set,
    or_zero,
    p95,
    positive,
    quantile,
    rate,
    ratio,
    select,
    selected,
    span,
    spans,
    total,
)
from grafana.mixin.tables import TO_TASK, columns
from grafana.mixin.variables import AGENT, EVERYWHERE
from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics
from taskscope.semconv.events import EXCEPTION, PLAN_REVISED

_NONE: Final = "no tools used"
_USES: Final = select(metrics.TOOL_DURATION, part="count")
_FAILED: Final = select(metrics.TOOL_DURATION, is_set(attr.ERROR_TYPE), part="count")
_BUCKETS: Final = select(metrics.TOOL_DURATION, part="bucket")
_TOOL: Final = (attr.GEN_AI_TOOL_NAME,)
_COMMAND: Final = f"{span(attr.PROCESS_EXECUTABLE_NAME)} != nil"
_EXECUTABLE: Final = span(attr.PROCESS_EXECUTABLE_NAME)
_STEPS: Final = select(metrics.STEP_DURATION, part="count")

_TOOLS: Final = Row(
    "Which tools are used, and do they work?",
    (
        table(
            "By tool",
            grown_by(_USES, "Uses", attr.GEN_AI_TOOL_NAME, attr.GEN_AI_TOOL_TYPE),
            instant(
                positive(total(grown(_FAILED), attr.GEN_AI_TOOL_NAME, attr.GEN_AI_TOOL_TYPE)),
                "Failed",
                *_TOOL,
            ),
            *(
                instant(
                    quantile(share, grown(_BUCKETS), attr.GEN_AI_TOOL_NAME, attr.GEN_AI_TOOL_TYPE),
                    name,
                    *_TOOL,
                    unit="s",
                )
                for share, name in ((0.5, "Median"), (0.95, "p95"))
            ),
            description="Uses of each tool in the chosen time; an empty cell is none.",
            bad=(
                "Failures of `pytest` and `ruff` are findings, the agent's daily bread; those of `files` "
                "or `git` are not."
            ),
            empty=_NONE,
            columns=(("gen_ai_tool_name", "Tool"), ("gen_ai_tool_type", "Type")),
        ),
        table(
            "Errors of tools",
            instant(
                positive(
                    total(grown(_FAILED), attr.GEN_AI_TOOL_NAME, attr.GEN_AI_AGENT_NAME, attr.ERROR_TYPE)
                ),
                "Failed",
                attr.GEN_AI_TOOL_NAME,
                attr.ERROR_TYPE,
            ),
            description="Uses that failed, by the error: an exit code, an exception, `timeout`.",
            bad="`timeout`: a command hangs, or its limit is too short.",
            empty="no errors",
            columns=(
                ("gen_ai_tool_name", "Tool"),
                ("gen_ai_agent_name", "Agent"),
                ("error_type", "Error"),
                ("Value", "Failed"),
            ),
        ),
        chart(
            "Uses of tools",
            Query(f"{total(rate(_USES), *_TOOL)} * 60", "{{gen_ai_tool_name}}"),
            description="Uses per minute.",
            bad="One tool that takes over: the agent repeats itself.",
            unit="suffix:/min",
            empty=_NONE,
            is_stacked=True,
        ),
        chart(
            "How long a use takes",
            Query(quantile(0.95, rate(_BUCKETS), *_TOOL), "p95 {{gen_ai_tool_name}}"),
            description="95 % of the uses of a tool take at most this.",
            bad="Tests that get slower make every task slower.",
            unit="s",
            empty=_NONE,
        ),
        chart(
            "Uses of tools in one agent's work",
            Query(
                p95(metrics.AGENT_TOOL_CALLS, attr.GEN_AI_AGENT_NAME),
                "p95 {{gen_ai_agent_name}}",
            ),
            description="95 % of the works of an agent use tools at most so often.",
            bad="A number that rises: more attempts for the same work.",
            unit="none",
            empty=_NONE,
        ),
        chart(
            "Failed uses",
            Query(ratio(total(rate(_FAILED), *_TOOL), total(rate(_USES), *_TOOL)), "{{gen_ai_tool_name}}"),
            description="Share of the uses of a tool that failed.",
            bad="A tool at 100 % is broken or missing on a host: see Health.",
            unit="percentunit",
            empty="no errors",
            maximum=1,
        ),
    ),
)

_COMMANDS: Final = Row(
    "Which commands run?",
    (
        chart(
            "Commands",
            Query(
                f"{spans(_COMMAND)} | rate() by ({_EXECUTABLE})",
                kind="metrics",
                labels=(attr.PROCESS_EXECUTABLE_NAME,),
            ),
            description="Programs started per second, counted by Tempo from the traces that were kept.",
            bad="A program that nobody expects.",
            unit="cps",
            empty="no commands",
        ),
        chart(
            "How long a command takes",
            Query(
                f"{spans(_COMMAND)} | quantile_over_time(duration, 0.95) by ({_EXECUTABLE})",
                kind="metrics",
                labels=(attr.PROCESS_EXECUTABLE_NAME,),
            ),
            description="95 % of the runs of a program take at most this; from the traces that were kept.",
            bad="Near `command_timeout`: it will be killed.",
            unit="s",
            empty="no commands",
        ),
        table(
            "Commands that failed",
            search(
                selected(
                    spans(_COMMAND, f"{span(attr.PROCESS_EXIT_CODE)} != 0"),
                    attr.PROCESS_EXECUTABLE_NAME,
                    attr.PROCESS_EXIT_CODE,
                    attr.TASK_ID,
                    attr.ERROR_TYPE,
                ),
                attr.PROCESS_EXECUTABLE_NAME,
                attr.PROCESS_EXIT_CODE,
            ),
            description=(
                "The newest programs that ended with another exit code than 0; a click opens the task."
            ),
            bad="Exit codes of tests are findings; -9 is a kill, often for memory.",
            empty="no command failed",
            width=24,
            height=9,
            columns=columns(
                "time",
                attr.PROCESS_EXECUTABLE_NAME,
                attr.PROCESS_EXIT_CODE,
                attr.ERROR_TYPE,
                attr.TASK_ID,
                "duration",
            ),
            links=TO_TASK,
        ),
    ),
)

_PLANS: Final = Row(
    "Do plans and steps work out?",
    (
        log(
            "Plans revised, exceptions",
            lines(events(PLAN_REVISED, EXCEPTION), "event_name", attr.TASK_ID),
            description="Each time that a task got another plan, and each exception that left its span.",
            bad="An exception tells its class, its text and what a person can do.",
            empty="no plan was revised, no exception raised",
        ),
        chart(
            "Steps, by outcome",
            Query(f"{total(rate(_STEPS), attr.STEP_OUTCOME)} * 60", "{{taskscope_step_outcome}}"),
            description="Steps per minute that ended, by how.",
            bad="More `failed`: the plans do not fit what is found.",
            unit="suffix:/min",
            empty="no steps",
            is_stacked=True,
        ),
        table(
            "By kind of step",
            grown_by(_STEPS, "Steps", attr.STEP_KIND, attr.STEP_OUTCOME),
            instant(
                quantile(
                    0.95,
                    grown(select(metrics.STEP_DURATION, part="bucket")),
                    attr.STEP_KIND,
                    attr.STEP_OUTCOME,
                ),
                "p95",
                attr.STEP_KIND,
                unit="s",
            ),
            description="Steps of the chosen time by kind and outcome.",
            bad="A kind that mostly fails.",
            empty="no steps",
            columns=(("taskscope_step_kind", "Kind"), ("taskscope_step_outcome", "Outcome")),
        ),
        chart(
            "Steps begun again",
            Query(
                or_zero(
                    total(rate(select(metrics.STEP_RETRIES)), attr.STEP_KIND) + " * 3600",
                    total(rate(_STEPS), attr.STEP_KIND),
                ),
                "{{taskscope_step_kind}}",
            ),
            description="Second and later attempts at a step, per hour.",
            bad="Attempts that cost time and change nothing.",
            unit="suffix:/h",
            empty="no step was begun again",
        ),
        chart(
            "Making a plan",
            Query(
                p95(metrics.PLAN_DURATION, attr.PLAN_SOURCE),
                "p95 by {{taskscope_plan_source}}",
            ),
            description="95 % of the plans take at most this, by who makes them: rules or a model.",
            bad="Rules take milliseconds; a model takes as long as its calls.",
            unit="s",
            empty="no plans",
        ),
        table(
            "Plans, by reason",
            grown_by(select(metrics.PLAN_STEPS, part="count"), "Plans", attr.PLAN_SOURCE, attr.PLAN_REASON),
            instant(
                ratio(
                    total(grown(select(metrics.PLAN_STEPS, part="sum")), attr.PLAN_SOURCE, attr.PLAN_REASON),
                    total(
                        grown(select(metrics.PLAN_STEPS, part="count")),
                        attr.PLAN_SOURCE,
                        attr.PLAN_REASON,
                    ),
                ),
                "Steps in one, on average",
                attr.PLAN_SOURCE,
            ),
            description=(
                "Plans of the chosen time: first ones, and those made because the one before did not do."
            ),
            bad="Many more replans than first plans.",
            empty="no plans",
            columns=(("taskscope_plan_source", "By"), ("taskscope_plan_reason", "Reason")),
        ),
    ),
)

PAGE: Final = Page(
    uid="taskscope-tools",
    title="Taskscope / Tools and commands",
    question="What do the agents do, how long does it take, and what fails?",
    rows=(_TOOLS, _COMMANDS, _PLANS),
    variables=(*EVERYWHERE, AGENT),
)
