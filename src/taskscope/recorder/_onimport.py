"""Does something right after a module is imported, now or whenever somebody loads it.

So a heavy library that may never be used in this process can be set up without being loaded.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def on_import(name: str, action: Callable[[], None]) -> None:
    """Call `action` once the top-level module `name` is loaded: at once, if it is; else right after."""
    if name in sys.modules:
        action()
        return
    forget(name)  # the last action counts
    sys.meta_path.insert(0, _Watcher(name, action))


def forget(name: str) -> None:
    """Do nothing when the module is loaded, as if `on_import` had not been called for it."""
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if not (isinstance(finder, _Watcher) and finder.name == name)
    ]


class _Watcher:
    """Finds one module as Python would, and acts when it has been executed."""

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self.name = name
        self._action = action

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's own spec, with a loader that acts afterwards."""
        if name != self.name:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_act(module: ModuleType) -> None:
            spec.loader.exec_module = execute  # type: ignore[method-assign, union-attr]
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            execute(module)
            self._action()

        spec.loader.exec_module = execute_and_act  # type: ignore[method-assign]
        return spec
