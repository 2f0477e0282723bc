"""Made-up secrets of many kinds, in the forms in which they turn up in telemetry; the same ones in every run.

None of them ever opened a door. The kinds are written down apart from the rules: a wrong rule must not make
its own evidence.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import string
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

_ALPHABETS = {
    "A": string.ascii_letters + string.digits,
    "L": string.ascii_lowercase,
    "d": string.digits,
    "h": "0123456789abcdef",
    "U": string.ascii_uppercase + string.digits,
    "T": string.ascii_uppercase + "234567",
    "u": string.ascii_letters + string.digits + "-_",
    "b": string.ascii_letters + string.digits + "+/",
    "p": string.ascii_letters + string.digits + "!#%*+-.~",
}
_HOLE = re.compile(r"<([A-Za-z]):([0-9]+)>")

# <alphabet:length>; what stands between « and » is secret, by default all of it.
KINDS = {
    "openai": "sk-<A:20>T3BlbkFJ<A:20>",
    "openai project": "sk-proj-<u:48>T3BlbkFJ<u:48>",
    "anthropic": "sk-ant-api03-<u:93>AA",
    "openrouter": "sk-or-v1-<h:64>",
    "github classic": "ghp_<A:36>",
    "github oauth": "gho_<A:36>",
    "github app": "ghs_<A:36>",
    "github fine-grained": "github_pat_<A:22>_<A:59>",
    "gitlab personal": "glpat-<u:20>",
    "gitlab runner": "glrt-<u:20>",
    "aws key id": "AKIA<T:16>",
    "aws session id": "ASIA<T:16>",
    "aws secret": "aws_secret_access_key = «<b:40>»",
    "aws secret json": '"SecretAccessKey": "«<b:40>»"',
    "google api": "AIza<u:35>",
    "google oauth": "ya29.<u:120>",
    "google client": "GOCSPX-<u:28>",
    "slack bot": "xoxb-<d:12>-<d:12>-<A:24>",
    "slack app": "xapp-1-A<U:10>-<d:13>-<h:64>",
    "slack webhook": "https://hooks.slack.com/services/«T<U:10>/B<U:10>/<A:24>»",
    "discord webhook": "https://discord.com/api/webhooks/«<d:19>/<u:68>»",
    "telegram": "<d:10>:AA<u:33>",
    "stripe": "sk_live_<A:24>",
    "stripe restricted": "rk_live_<A:24>",
    "stripe webhook": "whsec_<A:32>",
    "twilio": "SK<h:32>",
    "sendgrid": "SG.<u:22>.<u:43>",
    "mailgun": "key-<h:32>",
    "npm": "npm_<A:36>",
    "pypi": "pypi-AgEIcHlwaS5vcmc<u:160>",
    "hugging face": "hf_<A:34>",
    "azure client": "<A:3>8Q~<A:34>",
    "azure storage": "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=«<b:86>==»;EndpointSuffix=y",
    "azure sas": "https://x.blob.core.windows.net/c?sv=2024&sig=«<A:43>%3D»&se=1",
    "databricks": "dapi<h:32>",
    "vault": "hvs.<u:90>",
    "digitalocean": "dop_v1_<h:64>",
    "grafana": "glsa_<A:32>_<h:8>",
    "docker": "dckr_pat_<u:27>",
    "shopify": "shpat_<h:32>",
    "newrelic": "NRAK-<U:27>",
    "atlassian": "ATATT3xFfGF0<u:170>",
    "terraform": "<A:14>.atlasv1.<u:64>",
    "linear": "lin_api_<A:40>",
    "groq": "gsk_<A:52>",
    "replicate": "r8_<A:37>",
    "langsmith": "lsv2_pt_<h:32>_<h:10>",
    "jwt": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ«<u:60>.<u:43>»",
    "private key": "-----BEGIN PRIVATE KEY-----\n«<b:64>\n<b:64>\n<b:20>==»\n-----END PRIVATE KEY-----",
    "openssh key": "-----BEGIN OPENSSH PRIVATE KEY-----\n«<b:70>\n<b:70>»\n-----END OPENSSH PRIVATE KEY-----",
    "encrypted key": "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n"
    "«<b:64>\n<b:64>»\n-----END RSA PRIVATE KEY-----",
    "postgres": "postgresql://app:«<A:20>»@db.internal:5432/shop",
    "mongodb": "mongodb+srv://app:«<A:16>»@cluster0.example.net/?retryWrites=true",
    "redis": "redis://:«<A:24>»@cache:6379/0",
    "basic auth url": "https://ann:«<A:12>»@git.example/repo.git",
    "token url": "https://«<A:40>»@git.example/repo.git",
    "bearer": "Authorization: Bearer «<u:40>»",
    "basic": "Authorization: Basic «<b:40>»",
    "cookie": "Cookie: session=«<A:40>»; theme=dark",
    "api key header": "X-Api-Key: «<A:32>»",
    "password": "password=«<A:14>7»",
    "password letters": "password=«<L:14>»",
    "password ini": "db_password = «<A:14>7»",
    "password json": '{"password": "«<p:16>»"}',
    "password yaml": "password: «<A:14>7»",
    "secret env": "export CLIENT_SECRET='«<p:20>»'",
    "token query": "https://api.example/x?access_token=«<A:32>»&page=2",
    "option": "deploy --token «<A:24>» --verbose",
    "curl user": "curl -u ann:«<A:16>» https://api.example",
}
"""Kind to the form of a sample."""


class Sample(NamedTuple):
    """One text with a secret in it."""

    kind: str
    context: str
    text: str
    secret: str
    """The secret as it stands in the text, in the encoding of the context."""


def _diff(text: str) -> str:
    return "@@ -1,2 +1,2 @@\n context\n" + "\n".join(f"+{line}" for line in text.split("\n"))


CONTEXTS: dict[str, Callable[[str], str]] = {
    "prose": lambda text: f"it says {text} and goes on",
    "json": lambda text: json.dumps({"a": text}),
    "json in json": lambda text: json.dumps({"body": json.dumps({"a": text, "n": 1})}),
    "url": lambda text: f"https://h.example/p?q={quote(text, safe='')}&n=1",
    "diff": _diff,
    "color": lambda text: f"\x1b[1;32m{text}\x1b[0m",
    "repr": lambda text: repr({"a": text}),
    "log line": lambda text: f"2026-11-21T10:00:00Z INFO app value=[{text}] done",
}


def make_samples(random: random.Random, rounds: int) -> Iterator[Sample]:
    """Yield `rounds` samples of each kind in each context."""
    for _ in range(rounds):
        for kind, form in KINDS.items():
            filled = _HOLE.sub(functools.partial(_fill, random), form)
            before, secret, after = _parts(filled)
            for context, wrap in CONTEXTS.items():
                yield Sample(kind, context, wrap(before + secret + after), wrap(secret))


def _fill(random: random.Random, hole: re.Match[str]) -> str:
    return "".join(random.choices(_ALPHABETS[hole[1]], k=int(hole[2])))


def _parts(filled: str) -> tuple[str, str, str]:
    before, mark, rest = filled.partition("«")
    if not mark:
        return "", filled, ""
    secret, _, after = rest.partition("»")
    return before, secret, after


def leaks(sample: Sample, result: str) -> bool:
    """Return whether any ten characters of the secret, as it stood in the text, are still there."""
    wrapped = sample.secret
    core = max(re.findall(r"[A-Za-z0-9+/_.~%=!#*-]{8,}", _unwrapped(sample.context, wrapped)), key=len)
    return any(core[at : at + 10] in result for at in range(max(len(core) - 9, 1)))


def _unwrapped(context: str, wrapped: str) -> str:
    """The secret alone, in the encoding of its context."""
    head = _empty_at(context)
    return wrapped[head : len(wrapped) - (len(CONTEXTS[context]("")) - head)]


def _empty_at(context: str) -> int:
    """Where in an empty sample of this context the text would stand."""
    empty, letter = CONTEXTS[context](""), CONTEXTS[context]("Q")
    return next((at for at, char in enumerate(letter) if at >= len(empty) or char != empty[at]), len(empty))


def base64_of(text: str, prefix: str = "") -> str:
    """Return the text as base64, behind a prefix of any length."""
    return base64.b64encode((prefix + text).encode()).decode()
