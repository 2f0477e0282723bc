"""Where the standard library of the target's own Python has a name, as its modules say when imported.

Reading their sources would miss what is written in C (`deque`, `sleep`). A name may have several sources; how
it is used (called, awaited, subscripted, which attributes) rules out those that could not serve.
"""

from __future__ import annotations

import ast
import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from coding_agent.records import Command
from coding_agent.skills.modules import Source

if TYPE_CHECKING:
    from pathlib import Path

    from coding_agent.protocols import Workbench

# Public modules below a package that people import names from.
_SUBMODULES = [
    "collections.abc",
    "concurrent.futures",
    "email.message",
    "email.mime.multipart",
    "email.mime.text",
    "email.utils",
    "html.parser",
    "http.client",
    "http.cookies",
    "http.server",
    "importlib.metadata",
    "importlib.resources",
    "importlib.util",
    "logging.config",
    "logging.handlers",
    "multiprocessing.pool",
    "os.path",
    "unittest.mock",
    "urllib.error",
    "urllib.parse",
    "urllib.request",
    "wsgiref.simple_server",
    "xml.dom.minidom",
    "xml.etree.ElementTree",
    "xml.sax.saxutils",
]

# Left out: what acts when imported, opens windows, is an implementation of another module, or is no library.
_LEFT_OUT = [
    "__future__",
    "antigravity",
    "this",
    "idlelib",
    "turtle",
    "turtledemo",
    "tkinter",
    "test",
    "lib2to3",
    "ensurepip",
    "distutils",
    "msilib",
    "pydoc_data",
    "nturl2path",
    "posixpath",
    "ntpath",
    "genericpath",
    "posix",
    "nt",
    "sre_compile",
    "sre_constants",
    "sre_parse",
    "pyexpat",
    "opcode",
    "symbol",
    "parser",
    "imp",
    "asynchat",
    "asyncore",
    "smtpd",
    "venv",
    "zipapp",
    "rlcompleter",
    "readline",
    "site",
    "sitecustomize",
    "usercustomize",
    "macpath",
    "formatter",
    "dummy_threading",
    "binhex",
    "crypt",
    "cgi",
    "cgitb",
    "nis",
    "nntplib",
    "pipes",
    "spwd",
    "telnetlib",
    "uu",
    "xdrlib",
    "audioop",
    "chunk",
    "imghdr",
    "sndhdr",
    "sunau",
    "aifc",
    "ossaudiodev",
    "mailcap",
]

_CHILD = r"""
import importlib, inspect, json, sys, types, warnings
warnings.simplefilter("ignore")
asked = json.loads(sys.stdin.read())
name, use = asked["name"], asked["use"]
def fits(value):
    if not all(hasattr(value, attribute) for attribute in use["attributes"]):
        return False
    if use["is_called"] and not callable(value):
        return False
    if use["is_called"] and inspect.iscoroutinefunction(value) != use["is_awaited"]:
        return False
    if use["is_subscripted"]:
        return hasattr(value, "__class_getitem__") or hasattr(type(value), "__getitem__")
    return True
def public(module):
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return name in listed and hasattr(module, name)
    value = vars(module).get(name)
    if name.startswith("_") or value is None or isinstance(value, types.ModuleType):
        return False
    return getattr(value, "__module__", module.__name__) == module.__name__
found, seen = [], []
for candidate in asked["modules"]:
    try:
        module = importlib.import_module(candidate)
    except BaseException:
        continue
    if candidate == name and fits(module):
        found.append([candidate, None])
    if public(module):
        value = getattr(module, name)
        if fits(value) and not any(value is other for other in seen):
            seen.append(value)
            found.append([candidate, name])
print("\n" + json.dumps(found))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How a file uses a name."""

    attributes: tuple[str, ...] = ()
    is_called: bool = False
    is_awaited: bool = False
    is_subscripted: bool = False


def find_use(tree: ast.Module, name: str) -> Use:
    """Return how the name is used in a file."""
    attributes, called, awaited, subscripted = set(), False, False, False
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=used), attr=attribute) if used == name:
                attributes.add(attribute)
            case ast.Await(value=ast.Call(func=ast.Name(id=used))) if used == name:
                awaited = True
            case ast.Call(func=ast.Name(id=used)) if used == name:
                called = True
            case ast.Subscript(value=ast.Name(id=used)) if used == name:
                subscripted = True
            case _:
                pass
    return Use(
        attributes=tuple(sorted(attributes)), is_called=called, is_awaited=awaited, is_subscripted=subscripted
    )


_known: dict[tuple[Path, str, Use], frozenset[Source]] = {}
"""Answers by interpreter: to import the standard library takes most of a second."""


def find_in_stdlib(bench: Workbench, name: str, use: Use) -> frozenset[Source]:
    """Return where the target's standard library has something of this name that could be used so."""
    key = (bench.tests.python, name, use)
    if key not in _known:
        modules = [*sorted(sys.stdlib_module_names), *_SUBMODULES]
        wanted = [one for one in modules if not one.startswith("_") and one not in _LEFT_OUT]
        question = json.dumps({"name": name, "use": asdict(use), "modules": wanted})
        argv = (str(bench.tests.python), "-I", "-S", "-c", _CHILD)
        result = bench.shell.run(Command(argv=argv, stdin=question, timeout=60))
        if not result.is_ok:
            return frozenset()
        answer = json.loads(result.stdout.splitlines()[-1])
        _known[key] = frozenset(Source(module, attribute) for module, attribute in answer)
    return _known[key]
