"""Makes the tree that the agent works in, and tells afterwards what changed in it.

The user's folder and its `.git` are only read, unless the task is in place. What is done to the files in
between is not known here.
"""

from __future__ import annotations

from .choice import choose_workspace
from .clone import GitWorkspace
from .in_place import InPlaceWorkspace
from .plain import CopyWorkspace

__all__ = ["CopyWorkspace", "GitWorkspace", "InPlaceWorkspace", "choose_workspace"]
