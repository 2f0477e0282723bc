"""Network file systems are recognised by what the kernel says of its mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskscope.store.mounts import find_network_type

_MOUNTS = r"""
22 1 0:20 / / rw,relatime - overlay overlay rw
23 22 0:21 / /home rw,relatime shared:1 - nfs4 server:/home rw,vers=4.2
24 23 0:22 / /home/me/local\040disk rw - ext4 /dev/sdb1 rw
25 22 0:23 / /mnt/share rw - cifs //server/share rw
26 22 0:24 / /mnt/share rw - ext4 /dev/sdc1 rw
27 22 0:25 / /mnt/ssh rw - fuse.sshfs me@host: rw
not a line of mountinfo
"""


@pytest.mark.parametrize(
    "folder, kind",
    [
        ("/srv/taskscope", None),
        ("/home/me/.taskscope", "nfs4"),
        ("/homework", None),
        ("/home/me/local disk/taskscope", None),
        ("/mnt/share/x", None),
        ("/mnt/ssh/x", "fuse.sshfs"),
    ],
)
def test_the_innermost_mount_decides(tmp_path: Path, folder: str, kind: str | None) -> None:
    """A local disk below a network folder is local, and of two mounts at one place the later one counts."""
    (tmp_path / "mountinfo").write_text(_MOUNTS)
    assert find_network_type(Path(folder), tmp_path / "mountinfo") == kind


def test_where_the_kernel_does_not_tell_nothing_is_said(tmp_path: Path) -> None:
    """Without the list of mounts a folder counts as local."""
    assert find_network_type(Path("/home"), tmp_path / "missing") is None


def test_the_folder_of_this_test_is_local(tmp_path: Path) -> None:
    """The kernel's real list can be read."""
    assert find_network_type(tmp_path) is None
