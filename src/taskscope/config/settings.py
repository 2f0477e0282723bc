"""Every setting once: its names, kind, bounds, default and what it is for.

Reading, messages and `docs/settings.md` are driven by this table. A setting's key in `.agent.yml` is the
field's name unless given; its variable is `TASKSCOPE_` and the key in capitals; our own commands read the
plain variable too. Only what some room uses stands here.
"""

# ruff: noqa: RUF009  _setting() makes a field; ruff knows that of field() only

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import kinds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .kinds import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table."""

    name: str
    """The field of `Settings`."""
    key: str
    plain: str
    """The variable that our own commands read; empty where there is none."""
    otel: tuple[str, ...]
    """Variables of the OpenTelemetry specification that mean the same."""
    kind: Kind
    default_text: str
    doc: str
    is_secret: bool

    @property
    def variable(self) -> str:
        """The variable that is read everywhere, also in a host program."""
        return f"TASKSCOPE_{self.key.upper()}"

    def variables(self, *, is_host: bool) -> tuple[str, ...]:
        """Return the variables in the order in which they win."""
        plain = () if is_host or not self.plain else (self.plain,)
        return (self.variable, *plain, *self.otel)


def _setting(
    kind: Kind,
    default: object,
    doc: str,
    *,
    plain: str = "",
    key: str = "",
    otel: tuple[str, ...] = (),
    default_text: str = "",
    secret: bool = False,
) -> Any:
    row = {"kind": kind, "doc": doc, "plain": plain, "key": key, "otel": otel, "secret": secret}
    row["default_text"] = default_text or ("" if default is None or default == () else _as_text(default))
    hidden = secret or kind.is_url
    if callable(default):
        return field(default_factory=default, repr=not hidden, metadata=row)
    return field(default=default, repr=not hidden, metadata=row)


def _as_text(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


HOME_NAME = ".taskscope"
"""The home's name in the person's home folder; in the folder of the call where there is no such folder."""


def _default_home() -> Path:
    return Path.home() / HOME_NAME


_MODEL = kinds.pattern(
    "rules, replay:FILE, openai:MODEL or anthropic:MODEL", r"rules|(?:replay|openai|anthropic):\S.*"
)
_EMBEDDER = kinds.pattern("hash or openai:MODEL", r"hash|openai:\S+")
_WORD = kinds.pattern("a text without spaces", r"[^\s\x00-\x1f\x7f]+")
_LINE = kinds.pattern("one line of text", r"[^\x00-\x1f\x7f]+")
_TOKEN = kinds.pattern("printable ASCII without spaces", r"[!-~]+")
_EMAIL = kinds.pattern("an e-mail address", r"[^@\s]+@[^@\s]+")
_OTLP = "OTEL_EXPORTER_OTLP_"
_WEB = ("http", "https")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What this process was told; made by `load_settings` or `load_host_settings`."""

    home: Path = _setting(
        kinds.path(),
        _default_home,
        "The folder that holds everything Taskscope keeps: store, logs, index, skills, memory, tasks.",
        plain="AGENT_HOME",
        default_text="~/.taskscope",
    )
    disabled: bool = _setting(
        kinds.flag(), default=False, doc="Record nothing at all.", otel=("OTEL_SDK_DISABLED",)
    )
    service_name: str = _setting(
        _LINE,
        "taskscope",
        "`service.name` of what is recorded. In a host program `service.name` of OTEL_RESOURCE_ATTRIBUTES "
        "counts too, and the default is `unknown_service:python`.",
        otel=("OTEL_SERVICE_NAME",),
    )
    otlp_endpoint: str | None = _setting(
        kinds.url(*_WEB),
        None,
        "Where an OpenTelemetry Collector listens for OTLP over HTTP; without it nothing leaves this host. "
        "The other OTEL_EXPORTER_OTLP_* variables count too (docs/shipping.md).",
        otel=(f"{_OTLP}ENDPOINT",),
    )
    otlp_traces_endpoint: str | None = _setting(
        kinds.url(*_WEB), None, "The same for traces alone.", otel=(f"{_OTLP}TRACES_ENDPOINT",)
    )
    otlp_logs_endpoint: str | None = _setting(
        kinds.url(*_WEB), None, "The same for logs alone.", otel=(f"{_OTLP}LOGS_ENDPOINT",)
    )
    otlp_metrics_endpoint: str | None = _setting(
        kinds.url(*_WEB), None, "The same for metrics alone.", otel=(f"{_OTLP}METRICS_ENDPOINT",)
    )
    destinations: tuple[tuple[str, str], ...] = _setting(
        kinds.destinations(),
        (),
        "Further backends that get everything too, over OTLP/HTTP: `tempo=http://tempo:4318,...`. User and "
        "password may stand in a URL.",
    )
    retention_days: float = _setting(
        kinds.number(0.01, 3650), 7.0, "How long the store and the log files keep things.", default_text="7"
    )
    store_limit_bytes: int = _setting(
        kinds.size(8_000_000, 1_000_000_000_000),
        512_000_000,
        "How large the store may grow.",
        key="store_limit",
        default_text="512MB",
    )
    log_level: str = _setting(
        kinds.choice("debug", "info", "warning", "error", "critical"),
        "info",
        "The least severe log line that is kept.",
        plain="LOG_LEVEL",
    )
    log_file: Path | None = _setting(
        kinds.path(), None, "The log file.", plain="LOG_FILE", default_text="logs/taskscope.log in home"
    )
    metrics_host: str = _setting(
        _WORD, "127.0.0.1", "The address that `serve` listens on.", plain="METRICS_HOST"
    )
    serve_in_container: bool = _setting(
        kinds.flag(),
        default=False,
        doc="That METRICS_HOST may be any address, since this is a container whose port is published on the "
        "loopback of its host and nowhere else.",
    )
    metrics_port: int = _setting(
        kinds.whole(0, 65535),
        8000,
        "The port that `serve` listens on; 0 takes a free one.",
        plain="METRICS_PORT",
    )
    allowed_roots: tuple[Path, ...] = _setting(
        kinds.paths(),
        (),
        "Below which folders `serve` may start a task by HTTP.",
        plain="AGENT_ALLOWED_ROOTS",
        default_text="the folder of the call",
    )
    healthcheck_interval: float = _setting(
        kinds.duration(1, 86400),
        30.0,
        "How often the health checks of `serve` and `monitor` run.",
        plain="HEALTHCHECK_INTERVAL",
        default_text="30s",
    )
    alert_email: str | None = _setting(
        _EMAIL, None, "Who gets alerts by e-mail. Checked; no release sends alerts yet.", plain="ALERT_EMAIL"
    )
    alert_slack_webhook: str | None = _setting(
        kinds.url("https"),
        None,
        "The Slack channel that gets alerts. Checked; no release sends alerts yet.",
        plain="ALERT_SLACK_WEBHOOK",
        secret=True,
    )
    cost_cap_daily_usd: float | None = _setting(
        kinds.number(0),
        None,
        "US dollars that live models may cost in one UTC day; at the cap no further live call is made.",
        plain="COST_CAP_DAILY",
        key="cost_cap_daily",
    )
    prices_file: Path | None = _setting(
        kinds.path(),
        None,
        "Your own prices (self-hosted or negotiated), which go before the known ones.",
        plain="AGENT_PRICES_FILE",
    )
    model: str = _setting(
        _MODEL, "rules", "Who plans: the rules (no model), a recording, or a live model.", plain="AGENT_MODEL"
    )
    live_models: bool = _setting(
        kinds.flag(),
        default=True,
        doc="Whether a live model may be called at all, whatever a task asks for.",
        plain="AGENT_LIVE_MODELS",
    )
    record_model_to: Path | None = _setting(
        kinds.path(),
        None,
        "Where a live model's answers are recorded for `replay:FILE`.",
        plain="AGENT_RECORD_MODEL_TO",
    )
    openai_api_key: str | None = _setting(
        _TOKEN, None, "The key for `openai:` models and embedders.", plain="OPENAI_API_KEY", secret=True
    )
    openai_base_url: str | None = _setting(
        kinds.url(*_WEB),
        None,
        "Any OpenAI-compatible server.",
        plain="OPENAI_BASE_URL",
        default_text="OpenAI's own",
    )
    anthropic_api_key: str | None = _setting(
        _TOKEN, None, "The key for `anthropic:` models.", plain="ANTHROPIC_API_KEY", secret=True
    )
    anthropic_base_url: str | None = _setting(
        kinds.url(*_WEB),
        None,
        "Another server for `anthropic:` models.",
        plain="ANTHROPIC_BASE_URL",
        default_text="Anthropic's own",
    )
    embedder: str = _setting(
        _EMBEDDER,
        "hash",
        "What turns text into vectors: hashing (no model) or an API.",
        plain="AGENT_EMBEDDER",
    )
    vector_store: str = _setting(
        kinds.choice("sqlite", "chroma"),
        "sqlite",
        "Where vectors are kept; chroma is an extra.",
        plain="AGENT_VECTOR_STORE",
    )
    chroma_url: str | None = _setting(
        kinds.url(*_WEB),
        None,
        "A Chroma server for vector_store chroma, such as http://localhost:8001.",
        plain="AGENT_CHROMA_URL",
        default_text="a folder in home",
    )
    retrieval_results: int = _setting(
        kinds.whole(1, 100), 8, "How many passages a retrieval returns.", plain="AGENT_RETRIEVAL_RESULTS"
    )
    retrieval_min_similarity: float = _setting(
        kinds.number(-1, 1),
        0.0,
        "Cosine similarity below which a passage does not count.",
        plain="AGENT_RETRIEVAL_MIN_SIMILARITY",
    )
    skill_min_similarity: float = _setting(
        kinds.number(-1, 1),
        0.05,
        "Cosine similarity below which a skill is not offered.",
        plain="AGENT_SKILL_MIN_SIMILARITY",
    )
    memory_results: int = _setting(
        kinds.whole(0, 100), 5, "How many earlier tasks are recalled.", plain="AGENT_MEMORY_RESULTS"
    )
    memory_summarise_above: int = _setting(
        kinds.whole(1, 1_000_000),
        200,
        "Archive entries above which the oldest are summarised.",
        plain="AGENT_MEMORY_SUMMARISE_ABOVE",
    )
    command_timeout: float = _setting(
        kinds.duration(0.1, 86400),
        300.0,
        "How long one command (a test suite, a linter) may take.",
        plain="AGENT_COMMAND_TIMEOUT",
        default_text="300s",
    )
    output_limit_bytes: int = _setting(
        kinds.size(1_000, 1_000_000_000),
        1_000_000,
        "How much is kept of one command's output.",
        plain="AGENT_OUTPUT_LIMIT",
        key="output_limit",
        default_text="1MB",
    )
    max_rounds: int = _setting(
        kinds.whole(1, 100), 8, "How often the agent plans anew before it gives up.", plain="AGENT_MAX_ROUNDS"
    )
    keep_work_tree: bool = _setting(
        kinds.flag(),
        default=False,
        doc="Whether a task's work tree stays after its end.",
        plain="AGENT_KEEP_WORK_TREE",
    )

    # Not set by a person, but found on the way.
    warnings: tuple[str, ...] = ()
    """What was odd but no reason to refuse: misspelt TASKSCOPE_* variables, unreadable lines of `.env`."""
    otel_variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """OTEL_* variables of `.env` that the environment lacks; our own commands export them for the SDK."""
    known_secrets: tuple[str, ...] = field(default=(), repr=False)
    """Every secret value seen while reading, for the redactor."""

    @property
    def has_destinations(self) -> bool:
        """Whether telemetry is to leave this host at all."""
        endpoints = (
            self.otlp_endpoint, self.otlp_traces_endpoint, self.otlp_logs_endpoint, self.otlp_metrics_endpoint
        )  # fmt: skip
        return any(endpoints) or bool(self.destinations)

    @property
    def chosen_service_name(self) -> str:
        """The service's name where a person chose one, else empty."""
        name = self.service_name
        return "" if name == "taskscope" or name.startswith("unknown_service") else name

    @property
    def store_path(self) -> Path:
        """The SQLite file of telemetry and ledger."""
        return self.home / "taskscope.db"

    @property
    def logs_path(self) -> Path:
        """The folder of log files."""
        return self.home / "logs"

    @property
    def log_path(self) -> Path:
        """The log file that is written now."""
        return self.log_file or self.logs_path / "taskscope.log"

    @property
    def locks_path(self) -> Path:
        """The folder in which each process holds its lock file."""
        return self.home / "journal"

    @property
    def tasks_path(self) -> Path:
        """The folder of results, one folder for each task."""
        return self.home / "tasks"

    @property
    def token_path(self) -> Path:
        """The bearer token for starting tasks by HTTP."""
        return self.home / "token"


TABLE: tuple[Setting, ...] = tuple(
    Setting(
        name=item.name,
        key=item.metadata["key"] or item.name,
        plain=item.metadata["plain"],
        otel=item.metadata["otel"],
        kind=item.metadata["kind"],
        default_text=item.metadata["default_text"],
        doc=item.metadata["doc"],
        is_secret=item.metadata["secret"],
    )
    for item in fields(Settings)
    if item.metadata
)
"""All settings in the order in which the docs show them."""
