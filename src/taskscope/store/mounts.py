"""Whether a folder lies on a network file system, where SQLite's log in shared memory cannot be relied on.

https://sqlite.org/wal.html: all processes that use a database must be on the same host. Linux only; elsewhere
nothing is said.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Final

_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs"}
)
_FUSE_NETWORK: Final = frozenset({"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.davfs"})
_MOUNTS: Final = Path("/proc/self/mountinfo")
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


@functools.lru_cache(maxsize=64)
def find_network_type(folder: Path, mounts: Path = _MOUNTS) -> str | None:
    """The type of the network file system that a folder lies on, None for a local one or an unknown."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
        place = folder.resolve()
    except OSError:
        return None
    # The longest mount point wins; of equal ones the last, which hides the others.
    best, kind = -1, ""
    for line in lines:
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < _POINT + 1:
            continue
        point = Path(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[_POINT]))
        if place.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split(" ")[0]
    return kind if kind in _NETWORK | _FUSE_NETWORK else None


_POINT: Final = 4
"""The mount point is the fifth field: proc(5)."""
