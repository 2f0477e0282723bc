"""Which model a name means, and the one line that says why there is none."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from coding_agent.errors import AgentError
from coding_agent.models import build_model
from coding_agent.models._endpoint import find_provider, strip_credentials
from coding_agent.records import AgentSettings
from tests.coding_agent.models.conversations import KEY

NOWHERE = AgentSettings(home=Path("unused"))


@pytest.mark.parametrize(
    "name", ["", "gpt-4o", "openai", "openai:", "anthropic: ", "replay:", "rules", "x:y"]
)
def test_unknown_name_lists_the_choices(name: str) -> None:
    """A name that means no model is refused with those that do."""
    with pytest.raises(AgentError, match="expected 'replay:FILE', 'openai:MODEL' or 'anthropic:MODEL'"):
        build_model(name, NOWHERE)


@pytest.mark.parametrize("name", ["openai:gpt-4o", "anthropic:claude-sonnet-4-5"])
def test_live_models_can_be_forbidden(name: str) -> None:
    """One switch forbids every live model, with a key or without."""
    settings = AgentSettings(home=Path("unused"), openai_api_key=KEY, live_models=False)
    with pytest.raises(AgentError, match="live_models forbids"):
        build_model(name, settings)


@pytest.mark.parametrize(
    "name, variable", [("openai:gpt-4o", "OPENAI_API_KEY"), ("anthropic:claude", "ANTHROPIC_API_KEY")]
)
def test_missing_key_is_named(name: str, variable: str) -> None:
    """The provider itself wants a key: the line names the call and the variable."""
    with pytest.raises(AgentError, match=f"^{name} needs a key, and {variable} is not set$"):
        build_model(name, NOWHERE)


def test_own_server_needs_no_key() -> None:
    """A local server is asked without a key of the person's."""
    settings = AgentSettings(home=Path("unused"), openai_base_url="http://localhost:11434/v1")
    with closing(build_model("openai:llama3.2", settings)) as model:
        told = (model.name, model.provider, model.mode, model.base_url)
    assert told == ("llama3.2", "local", "live", "http://localhost:11434/v1")


def test_own_server_may_speak_anthropics_api() -> None:
    """The same holds for the other API: who answers is told by the address."""
    settings = AgentSettings(home=Path("unused"), anthropic_base_url="https://llm.example.com")
    with closing(build_model("anthropic:some", settings)) as model:
        told = (model.name, model.provider, model.mode, model.base_url)
    assert told == ("some", "anthropic_compatible", "live", "https://llm.example.com")


@pytest.mark.parametrize("package", ["openai", "anthropic"])
def test_missing_extra_names_call_package_and_pip_line(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the client the line says what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    settings = AgentSettings(home=Path("unused"), openai_api_key=KEY, anthropic_api_key=KEY)
    with pytest.raises(AgentError, match=f"^{package}:some needs the package '{package}'") as caught:
        build_model(f"{package}:some", settings)
    assert caught.value.hint == f"pip install 'taskscope[{package}]'"


@pytest.mark.parametrize(
    "base_url", ["localhost:11434", "ftp://host/v1", "http://", "http://[::1", "http://h:x/"]
)
def test_base_url_that_is_none_is_refused(base_url: str) -> None:
    """An address that no client can use is refused by the setting's name."""
    settings = AgentSettings(home=Path("unused"), openai_base_url=base_url)
    with pytest.raises(AgentError, match="OPENAI_BASE_URL is no address"):
        build_model("openai:some", settings)


@pytest.mark.parametrize(
    "base_url, provider",
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://mine.openai.azure.com/openai/v1", "azure.ai.openai"),
        ("https://api.x.ai/v1", "x_ai"),
        ("http://localhost:11434/v1", "local"),
        ("http://127.0.0.1:8080/v1", "local"),
        ("http://[::1]:8080/v1", "local"),
        ("http://192.168.1.7/v1", "local"),
        ("http://gpu-box:8000/v1", "local"),
        ("http://gpu.local/v1", "local"),
        ("https://llm.example.com/v1", "openai_compatible"),
        ("https://api.openai.com.example.com/v1", "openai_compatible"),
        ("https://notapi.openai.com/v1", "openai_compatible"),
        ("https://8.8.8.8/v1", "openai_compatible"),
    ],
)
def test_provider_is_who_stands_behind_the_address(base_url: str, provider: str) -> None:
    """The client's name is no claim about the server: only OpenAI's own hosts are `openai`."""
    assert find_provider(base_url, "openai") == provider


def test_address_is_shown_without_credentials() -> None:
    """User, password and query stay out of what spans and messages show."""
    assert strip_credentials("https://me:secret@host:8443/v1?key=1#x") == "https://host:8443/v1"


def test_key_is_not_in_the_repr() -> None:
    """A model that is printed by accident does not show its key."""
    settings = AgentSettings(home=Path("unused"), openai_api_key=KEY, openai_base_url="http://localhost/v1")
    with closing(build_model("openai:some", settings)) as model:
        assert KEY not in repr(vars(model))


def test_import_loads_no_client() -> None:
    """Rules and replay do not pay for clients that they do not use."""
    code = (
        "import sys, coding_agent.models; print(sorted({'openai', 'anthropic', 'httpx2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
