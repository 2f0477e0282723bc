"""Laws of the settings: where they come from, what is refused, what is never shown."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from taskscope.config import (
    Settings,
    ensure_home,
    load_host_settings,
    load_settings,
    open_private,
    secret_values,
)
from taskscope.config.__main__ import render
from taskscope.config.settings import TABLE, Setting
from taskscope.errors import SettingsError, StoreError

ROOT = Path(__file__).parents[2]
SECRET = "sk-proj-a1b2c3d4e5f6g7h8"


def write(folder: Path, *, env: str = "", agent: str = "") -> Path:
    if env:
        (folder / ".env").write_text(env)
    if agent:
        (folder / ".agent.yml").write_text(agent)
    return folder


def violations(folder: Path, environ: dict[str, str] | None = None) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(folder, environ or {})
    return caught.value.violations


# Good text, its value, bad text: one row for each setting, so that a new one cannot be forgotten.
VALUES: dict[str, tuple[str, object, str]] = {
    "home": ("/x/home", Path("/x/home"), "a\0b"),
    "disabled": ("Yes", True, "maybe"),
    "service_name": ("shop agent", "shop agent", "two\nlines"),
    "otlp_endpoint": ("http://collector:4318", "http://collector:4318", "collector:4318"),
    "otlp_traces_endpoint": ("https://c/v1/traces", "https://c/v1/traces", "grpc://c"),
    "otlp_logs_endpoint": ("https://c/v1/logs", "https://c/v1/logs", "//c"),
    "otlp_metrics_endpoint": ("https://c/v1/metrics", "https://c/v1/metrics", "http://"),
    "destinations": (
        "tempo=http://t:4318, b=https://u:p@b/x",
        (("tempo", "http://t:4318"), ("b", "https://u:p@b/x")),
        "otlp=http://t:4318",
    ),
    "retention_days": ("0.5", 0.5, "nan"),
    "store_limit": ("1GiB", 1024**3, "5"),
    "log_level": ("DEBUG", "debug", "loud"),
    "log_file": ("logs/a.log", Path("/folder/logs/a.log"), "a\0b"),
    "metrics_host": ("192.0.2.1", "192.0.2.1", "a b"),
    "serve_in_container": ("yes", True, "docker"),
    "metrics_port": ("0", 0, "65536"),
    "allowed_roots": ("/a:b", (Path("/a"), Path("/folder/b")), "a\0b"),
    "healthcheck_interval": ("2m", 120.0, "0.5"),
    "alert_email": ("a@b.example", "a@b.example", "nobody"),
    "alert_slack_webhook": ("https://hooks.example/x", "https://hooks.example/x", "http://hooks.example/x"),
    "cost_cap_daily": ("2.50", 2.5, "-1"),
    "prices_file": ("p.yml", Path("/folder/p.yml"), "a\0b"),
    "model": ("openai:gpt-x", "openai:gpt-x", "gpt-x"),
    "live_models": ("0", False, "2"),
    "record_model_to": ("../r.jsonl", Path("/r.jsonl"), "a\0b"),
    "openai_api_key": (SECRET, SECRET, "two words"),
    "openai_base_url": ("http://localhost:1/v1", "http://localhost:1/v1", "localhost"),
    "anthropic_api_key": (SECRET, SECRET, "schlüssel"),
    "anthropic_base_url": ("http://localhost:1", "http://localhost:1", "file:///x"),
    "embedder": ("openai:text-embedding-3-small", "openai:text-embedding-3-small", "bert"),
    "vector_store": ("chroma", "chroma", "faiss"),
    "chroma_url": ("http://chroma:8000", "http://chroma:8000", "chroma:8000"),
    "retrieval_results": ("1_0", 10, "1.5"),
    "retrieval_min_similarity": ("-1", -1.0, "1.1"),
    "skill_min_similarity": ("1e-2", 0.01, "high"),
    "memory_results": ("0", 0, "\u0663"),
    "memory_summarise_above": ("1", 1, "0"),
    "command_timeout": ("500ms", 0.5, "inf"),
    "output_limit": ("64 kB", 64_000, "1 byte"),
    "max_rounds": ("3", 3, "101"),
    "keep_work_tree": ("on", True, """ """),
}


def test_every_setting_is_tried_here() -> None:
    """The rows above are the rows of the table."""
    assert list(VALUES) == [row.key for row in TABLE]


def moved(value: object, folder: Path) -> object:
    """A path below /folder as it is when the call comes from another folder."""
    if isinstance(value, tuple):
        return tuple(moved(item, folder) for item in value)
    if value == Path("/r.jsonl"):
        return folder.parent / "r.jsonl"
    if isinstance(value, Path) and value.is_relative_to("/folder"):
        return folder / value.relative_to("/folder")
    return value


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.key)
def test_each_setting_is_read_by_each_of_its_names(row: Setting, tmp_path: Path) -> None:
    """A setting has the same value from every variable, from `.env` and from `.agent.yml`."""
    good, value, _ = VALUES[row.key]
    folder = Path("/folder")
    for variable in row.variables(is_host=False):
        assert getattr(load_settings(folder, {variable: good}), row.name) == value
    write(tmp_path, agent=f'{row.key}: "{good}"\n')
    assert getattr(load_settings(tmp_path, {}), row.name) == moved(value, tmp_path)
    assert getattr(load_host_settings({row.variable: good}), row.name) == moved(value, Path.cwd())


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.key)
def test_each_setting_refuses_a_wrong_value(row: Setting, caplog: pytest.LogCaptureFixture) -> None:
    """Our own commands refuse it by name; a host program logs it and has the default."""
    bad = VALUES[row.key][2]
    found = violations(Path("/folder"), {row.variable: bad})
    assert list(found) == [row.key]
    assert found[row.key].endswith(
        f"from environment {row.variable} is not allowed; expected {row.kind.allowed}"
    )
    host = load_host_settings({row.variable: bad, "HOME": "/home/ann"})
    assert getattr(host, row.name) == getattr(load_host_settings({"HOME": "/home/ann"}), row.name)
    assert row.variable in caplog.text


def test_defaults_need_no_source(tmp_path: Path) -> None:
    """Without any source every setting has its default, and nothing is warned about."""
    found = load_settings(tmp_path, {})
    expected = Settings(allowed_roots=(tmp_path,))
    assert found == expected


def test_earlier_sources_win(tmp_path: Path) -> None:
    """Environment before `.env` before `.agent.yml`; within one source TASKSCOPE_ before the plain name."""
    write(
        tmp_path,
        env="METRICS_PORT=2\nLOG_LEVEL=error\n",
        agent="metrics_port: 3\nlog_level: debug\nmax_rounds: 4\n",
    )
    environ = {"METRICS_PORT": "1"}
    found = load_settings(tmp_path, environ)
    assert (found.metrics_port, found.log_level, found.max_rounds) == (1, "error", 4)
    assert load_settings(tmp_path, {**environ, "TASKSCOPE_METRICS_PORT": "5"}).metrics_port == 5
    assert load_settings(tmp_path, {"METRICS_PORT": ""}).metrics_port == 2


def test_only_the_folder_of_the_call_is_read(tmp_path: Path) -> None:
    """Files of a parent folder or of a child are nobody's settings."""
    write(tmp_path, env="METRICS_PORT=1\n", agent="max_rounds: 1\n")
    child = tmp_path / "child"
    child.mkdir()
    found = load_settings(child, {})
    assert (found.metrics_port, found.max_rounds) == (8000, 8)


def test_a_wrong_value_of_a_later_source_does_not_matter(tmp_path: Path) -> None:
    """Only the value that counts is judged."""
    write(tmp_path, agent="metrics_port: many\n")
    assert load_settings(tmp_path, {"METRICS_PORT": "1"}).metrics_port == 1


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    """Each violation names setting, value, source with line, and what is allowed."""
    write(
        tmp_path,
        env="# ports\nMETRICS_PORT=many\n",
        agent="max_rounds: 0\n\nretreival_results: 3\nmemory_results: [1, 2]\n",
    )
    assert violations(tmp_path, {"LOG_LEVEL": "loud"}) == {
        "log_level": "'loud' from environment LOG_LEVEL is not allowed; "
        "expected debug, info, warning, error or critical",
        "metrics_port": "'many' from .env:2 is not allowed; expected a whole number, 0 to 65535",
        "memory_results": f"'1{os.pathsep}2' from .agent.yml:4 is not allowed; "
        "expected a whole number, 0 to 100",
        "max_rounds": "'0' from .agent.yml:1 is not allowed; expected a whole number, 1 to 100",
        "retreival_results (.agent.yml:3)": "no such setting; did you mean 'retrieval_results'?",
    }


@pytest.mark.parametrize(
    "content, place, words",
    [
        (
            "metrics_port: 1\n  log_level: x: y\n",
            ".agent.yml:2",
            "is not YAML: mapping values are not allowed here",
        ),
        ("- a\n", ".agent.yml:1", "expected `key: value` lines"),
        ("a: [\n", ".agent.yml:2", "is not YAML: "),
        ("model: rules\nmodel: rules\n", "model (.agent.yml:2)", "stands twice, first at .agent.yml:1"),
        ("home: {a: b}\n", "home (.agent.yml:1)", "expected a single value"),
        ("? [a]\n: b\n", "'sequence' (.agent.yml:1)", "no such setting"),
        ("zzz: 1\n", "zzz (.agent.yml:1)", "no such setting; docs/settings.md lists the known ones"),
        ("METRICS-PORT: 1\n", "METRICS-PORT (.agent.yml:1)", "did you mean 'metrics_port'?"),
        ("a: " + "[" * 1000, ".agent.yml", "cannot be read: nested too deep"),
    ],
)
def test_a_bad_agent_file_is_one_clear_line(content: str, place: str, words: str, tmp_path: Path) -> None:
    """What is wrong with the file itself names the file and, where known, the line."""
    found = violations(write(tmp_path, agent=content))
    assert words in found[place]
    assert "\n" not in found[place]


def test_an_unreadable_agent_file_is_refused(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, or a folder of that name, are said and not guessed at."""
    (tmp_path / ".agent.yml").write_bytes(b"model: r\xffles\n")
    assert violations(tmp_path) == {".agent.yml": "cannot be read: not UTF-8 at byte 8"}
    (tmp_path / ".agent.yml").unlink()
    (tmp_path / ".agent.yml").mkdir()
    assert violations(tmp_path) == {".agent.yml": "cannot be read: Is a directory"}


@pytest.mark.parametrize("content", ["", "# nothing\n", "model:\n", "model: ~\n", "---\n"])
def test_an_empty_agent_file_sets_nothing(content: str, tmp_path: Path) -> None:
    """No content, or no value, is unset and not wrong."""
    (tmp_path / ".agent.yml").write_text(content)
    assert load_settings(tmp_path, {}).model == "rules"


def test_yaml_words_stay_words(tmp_path: Path) -> None:
    """`off` is a word and not YAML's False; a list is one of paths."""
    write(tmp_path, agent="service_name: off\nallowed_roots: [~/a, b]\n")
    found = load_settings(tmp_path, {"HOME": "/home/ann"})
    assert found.service_name == "off"
    assert found.allowed_roots == (Path("/home/ann/a"), tmp_path / "b")


ENV = r"""
# a comment
export LOG_LEVEL=debug   # with a comment
SINGLE_KEY='a # $b \n'   # c
DOUBLE_KEY="line 1\nline \"2\" \\ \$x"
LINES_KEY="first
second"
HASH_KEY=eins#zwei
  SPACED_KEY =  three words here
EMPTY_KEY=
OTEL_TRACES_SAMPLER=always_on
AFTER_KEY=four-four"""


def test_env_files_know_quotes_comments_and_export(tmp_path: Path) -> None:
    """Each form of `.env` is read as documented; nothing is interpolated."""
    found = load_settings(write(tmp_path, env=ENV), {})
    assert found.log_level == "debug"
    assert found.warnings == ()
    assert found.known_secrets == (
        r"a # $b \n",
        'line 1\nline "2" \\ $x',
        "first\nsecond",
        "eins#zwei",
        "three words here",
        "four-four",
    )


def test_otel_variables_of_env_files_are_handed_on(tmp_path: Path) -> None:
    """What `.env` sets for the OpenTelemetry SDK is known, unless the environment sets it."""
    write(tmp_path, env="OTEL_TRACES_SAMPLER=always_on\nOTEL_SERVICE_NAME=shop\nOTHER=1\n")
    found = load_settings(tmp_path, {"OTEL_SERVICE_NAME": "mine"})
    assert found.otel_variables == {"OTEL_TRACES_SAMPLER": "always_on"}
    assert found.service_name == "mine"


@pytest.mark.parametrize("line", ["FOO", "1A=b", "A='open", 'A="open', "=x", "A='b' c"])
def test_odd_lines_of_env_files_are_warned_about(line: str, tmp_path: Path) -> None:
    """A line that cannot be read costs that line only, and is named."""
    found = load_settings(write(tmp_path, env=f"LOG_LEVEL=debug\r\n{line}\r\nMETRICS_PORT=1\r\n"), {})
    assert (found.log_level, found.metrics_port) == ("debug", 1)
    assert found.warnings == (".env:2 was not read: expected NAME=value with closed quotes",)


def test_a_virtual_environment_named_env_is_no_env_file(tmp_path: Path) -> None:
    """A folder `.env` has no settings; a file that is not text is warned about."""
    (tmp_path / ".env").mkdir()
    assert load_settings(tmp_path, {}).warnings == ()
    (tmp_path / ".env").rmdir()
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    assert load_settings(tmp_path, {}).warnings == (".env was not read (not UTF-8 at byte 0)",)


def test_misspelt_variables_are_warned_about(tmp_path: Path) -> None:
    """A TASKSCOPE_ variable near a known name is reported, a far one and foreign ones are not."""
    environ = {"TASKSCOPE_METRIC_PORT": "1", "TASKSCOPE_ZZZ": "1", "METRIC_PORT": "1"}
    expected = (
        "TASKSCOPE_METRIC_PORT is not a setting and was ignored; did you mean TASKSCOPE_METRICS_PORT?",
    )
    assert load_settings(tmp_path, environ).warnings == expected


def test_a_host_program_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a host only OTEL_* and TASKSCOPE_* count: no plain names, no files."""
    monkeypatch.chdir(write(tmp_path, env="TASKSCOPE_METRICS_PORT=1\n", agent="metrics_port: 2\n"))
    environ = {"METRICS_PORT": "3", "OPENAI_API_KEY": SECRET, "AGENT_HOME": "/x", "OTEL_SDK_DISABLED": "true"}
    found = load_host_settings(environ)
    assert found.metrics_port == 8000
    assert found.openai_api_key is None
    assert found.home == Settings().home
    assert found.disabled is True
    assert found.known_secrets == (SECRET,)


def test_a_process_without_a_folder_or_a_home_has_settings(tmp_path: Path) -> None:
    """A deleted current folder, or a user without a home folder, raises nothing."""
    code = (
        "import os; os.rmdir(os.getcwd()); os.environ.pop('HOME', None);"
        "os.path.expanduser = lambda path: path;"
        "from taskscope.config import *; print(load_settings().home, load_host_settings().home)"
    )
    folder = tmp_path / "gone"
    folder.mkdir()
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, cwd=folder, check=True, capture_output=True, text=True)
    assert done.stdout == "/.taskscope /.taskscope\n"
    assert load_settings(tmp_path, {"HOME": "/home/ann"}).home == Path("/home/ann/.taskscope")


@pytest.mark.parametrize(
    "environ, name",
    [
        ({}, f"unknown_service:{Path(sys.executable).name}"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=b, service.name = shop ,c=d"}, "shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop", "OTEL_SERVICE_NAME": "till"}, "till"),
    ],
)
def test_a_host_keeps_its_own_service_name(environ: dict[str, str], name: str) -> None:
    """The name is the host's by the OpenTelemetry variables, and never ours."""
    assert load_host_settings(environ).service_name == name


def test_secrets_are_never_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No repr, message, log line or page of the docs holds a secret or a URL's credentials."""
    environ = {
        "OPENAI_API_KEY": f"{SECRET} and more",
        "ALERT_SLACK_WEBHOOK": f"ftp://{SECRET}",
        "OPENAI_BASE_URL": f"ftp://user:{SECRET}@host",
    }
    said = str(violations(tmp_path, environ))
    load_host_settings({f"TASKSCOPE_{name}": text for name, text in environ.items()})
    good = load_settings(
        tmp_path,
        {
            "OPENAI_API_KEY": SECRET,
            "ALERT_SLACK_WEBHOOK": f"https://h/{SECRET}",
            "OPENAI_BASE_URL": f"http://u:{SECRET}@h",
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {SECRET}",
        },
    )
    for text in (said, caplog.text, repr(good), render()):
        assert SECRET not in text
    assert "a hidden value" in said
    assert "ftp://[hidden]@host" in said
    assert set(good.known_secrets) == {SECRET, f"Bearer {SECRET}", f"https://h/{SECRET}"}


def test_long_values_are_shortened_in_messages(tmp_path: Path) -> None:
    """A message stays a line that a person can read."""
    assert len(violations(tmp_path, {"LOG_LEVEL": "x" * 10_000})["log_level"]) < 250


def test_secret_values_are_told_by_the_name_of_the_variable() -> None:
    """*KEY, *TOKEN, *SECRET, *PASSWORD of eight characters or more; a short one would blank words."""
    environ = {
        "A_KEY": "12345678",
        "b_token": "abcdefgh",
        "THE_SECRET": "s" * 8,
        "PGPASSWORD": "p" * 8,
        "SHORT_KEY": "1234567",
        "KEYBOARD": "not-a-secret",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-key=abcdefghij,n=1",
    }
    assert secret_values(environ) == ("12345678", "abcdefgh", "s" * 8, "p" * 8, "abcdefghij")


def test_paths_of_the_home_folder() -> None:
    """Everything that is kept has its place below home; LOG_FILE alone may stand elsewhere."""
    home = Path("/h")
    found = Settings(home=home)
    assert (found.store_path, found.log_path) == (home / "taskscope.db", home / "logs" / "taskscope.log")
    assert (found.locks_path, found.tasks_path) == (home / "journal", home / "tasks")
    assert found.token_path == home / "token"
    assert Settings(home=home, log_file=Path("/l")).log_path == Path("/l")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_home_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Folders are 700 and files 600, also those that stood open before."""
    home = tmp_path / "a" / "home"
    home.mkdir(parents=True)
    home.chmod(0o755)
    (home / "logs").mkdir()
    (home / "logs").chmod(0o777)
    (home / "token").write_text("t")
    (home / "token").chmod(0o644)
    assert ensure_home(Settings(home=home)) == home
    assert mode(home) == 0o700
    assert {entry.name: mode(entry) for entry in home.iterdir() if entry.is_dir()} == dict.fromkeys(
        ["index", "journal", "logs", "memory", "plans", "skills", "tasks", "work"], 0o700
    )
    assert mode(home / "token") == 0o600
    with open(home / "new", "w", opener=open_private) as file:
        file.write("x")
    assert mode(home / "new") == 0o600


def test_a_shared_folder_as_home_is_not_locked(tmp_path: Path) -> None:
    """AGENT_HOME may be a folder with other things in it: only our own rooms are closed."""
    tmp_path.chmod(0o755)
    (tmp_path / "other.txt").write_text("mine")
    ensure_home(Settings(home=tmp_path))
    assert mode(tmp_path) == 0o755
    assert mode(tmp_path / "logs") == 0o700


def test_links_in_home_are_not_followed_to_their_target(tmp_path: Path) -> None:
    """A link `token` to another's file does not change that file's mode."""
    target = tmp_path / "target"
    target.write_text("x")
    target.chmod(0o644)
    home = tmp_path / "home"
    home.mkdir()
    (home / "token").symlink_to(target)
    ensure_home(Settings(home=home))
    assert mode(target) == 0o644


def test_an_impossible_home_says_what_to_do(tmp_path: Path) -> None:
    """A file in the way is a StoreError that names the folder and the setting."""
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreError, match=r"cannot make the home folder '.*home' \(.+\): set AGENT_HOME"):
        ensure_home(Settings(home=tmp_path / "home"))


def test_yaml_is_imported_only_for_a_file(tmp_path: Path) -> None:
    """A call without `.agent.yml` pays for no YAML parser."""
    code = "import sys, taskscope.config as c; c.load_settings(); print('yaml' in sys.modules)"

    def run() -> str:
        return subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    assert run() == "False\n"
    write(tmp_path, agent="model: rules\n")
    assert run() == "True\n"


def test_the_page_of_settings_is_what_the_table_says() -> None:
    """docs/settings.md is generated: python -m taskscope.config > docs/settings.md."""
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == render()


def test_the_module_prints_its_page() -> None:
    """The command named in the page makes the page."""
    done = subprocess.run(
        [sys.executable, "-m", "taskscope.config"], check=True, capture_output=True, text=True
    )
    assert done.stdout == render()


def test_names_do_not_collide() -> None:
    """No variable and no key means two settings."""
    names = [name for row in TABLE for name in row.variables(is_host=False)]
    assert len(names) == len(set(names))
