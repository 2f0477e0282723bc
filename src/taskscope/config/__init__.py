"""Settings: what a person may set, where it is read from, and what is said when it is wrong.

Read once at the start of a process and handed on as one frozen object; no other room reads the
environment for settings. Nothing here touches the store or the network.
"""

from __future__ import annotations

from .home import ensure_home, open_private
from .loading import load_host_settings, load_settings, secret_values
from .settings import Settings

__all__ = ["Settings", "ensure_home", "load_host_settings", "load_settings", "open_private", "secret_values"]
