"""Who stands behind a base URL, and what is missing to call it.

Names follow the GenAI conventions' `gen_ai.provider.name`. No network here: hosts are judged by their names.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit, urlunsplit

from coding_agent.errors import AgentError

_PROVIDERS = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
}
"""Host (with the hosts below it) to provider name, from the conventions' list."""

_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
"""Names that never lead out of one's own network (RFC 6761, 6762, 8375, ICANN's `internal`; `lan` by use)."""


def find_provider(base_url: str, dialect: str) -> str:
    """Return the provider's name: a known one, `local` for one's own network, else `{dialect}_compatible`.

    A client library speaks to many servers, so its own name would claim more than is known.
    """
    host = (urlsplit(base_url).hostname or "").rstrip(".")
    for known, provider in _PROVIDERS.items():
        if host == known or host.endswith(f".{known}"):
            return provider
    return "local" if _is_local(host) else f"{dialect}_compatible"


def _is_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_SUFFIXES)
    return address.is_private or address.is_loopback or address.is_link_local or address.is_unspecified


def strip_credentials(base_url: str) -> str:
    """Return the URL without user, password, query and fragment, fit to be shown."""
    parts = urlsplit(base_url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def check_base_url(base_url: str, setting: str) -> None:
    """Refuse what is no http or https address, before a client fails with less to say."""
    try:
        parts = urlsplit(base_url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        msg = f"{setting} is no address of a server"
        raise AgentError(
            msg,
            hint="it looks like http://127.0.0.1:11434/v1 or https://host/v1",
        )


def missing_extra(package: str, model: str) -> AgentError:
    """Return the error of a live model whose client is not installed."""
    return AgentError(
        f"{package}:{model} needs the package {package!r}, which is not installed",
        hint=f"pip install 'taskscope[{package}]'",
    )
