"""A disk that is full or fails: the application does not notice, no loss goes uncounted, it goes on alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .findings import Finding, add_up, all_of, how_many, none_of, not_tried

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .stage import Stage

TITLE = "Full and failing disks"
MUST = (
    "A tiny tmpfs, and the k-th write fails for k = 1..500: application unaffected, sums equal, resumes by "
    "itself."
)
_SIZES_KIB = (500, 1_100, 1_400, 2_600, 5_000, 12_000)
"""No room for a journal; for it but no store; for both, and for less than is made."""


def prove(stage: Stage) -> list[Finding]:
    """Fill disks, then let writes fail one by one."""
    findings = []
    sizes = _SIZES_KIB[: stage.count(len(_SIZES_KIB))]
    disks = [_fill(stage, size) for size in sizes]
    if all(disk["mounted"] for disk in disks):
        findings += _tell_disks(disks)
    else:
        findings.append(not_tried("a tiny tmpfs", "to mount one is not allowed here"))
    for way, words, full in (
        ("statement", "k-th statement fails", 500),
        ("call", "k-th system call fails", 60),
    ):
        count = stage.count(full, 8)
        counts = add_up(stage.ask_shares("writes", count, stage.stride(full, count), way))
        # Of some system calls there are few in a life; of statements more than are tried.
        findings += _tell_writes(words, counts, is_each=way == "statement")
    return findings


def _fill(stage: Stage, size_kib: int) -> Mapping[str, Any]:
    home = stage.folder / f"disk-{size_kib}"
    return stage.ask("full_disk", stage.count(20_000, 5_000), size_kib, home=home)


def _tell_disks(disks: list[Mapping[str, Any]]) -> list[Finding]:
    made = sum(disk["made"] for disk in disks)
    unequal = sum(disk["made"] != disk["stored"] + disk["dropped"] for disk in disks)
    return [
        all_of("tiny disks: that were full", sum(disk["was_full"] for disk in disks), len(disks)),
        none_of("tiny disks: errors in the application", sum(disk["errors"] for disk in disks), made),
        none_of("tiny disks: made is not stored + dropped", unequal, len(disks)),
        none_of("tiny disks: spans that came twice", sum(disk["twice"] for disk in disks), made),
        how_many("tiny disks: dropped and counted", sum(disk["dropped"] for disk in disks)),
        all_of(
            "tiny disks: recorders that went on alone", sum(disk["is_back"] for disk in disks), len(disks)
        ),
    ]


def _tell_writes(words: str, counts: Mapping[str, int], *, is_each: bool) -> list[Finding]:
    runs = counts["runs"]
    return [
        Finding(f"{words}: processes in which one did", counts["struck"], runs, least=runs if is_each else 1),
        none_of(f"{words}: processes that failed", counts.get("failed", 0), runs),
        none_of(f"{words}: errors in the application", counts["errors"], counts["made"]),
        none_of(f"{words}: made is not stored + dropped", counts["unequal"], runs),
        none_of(f"{words}: spans that came twice", counts["twice"], counts["made"]),
        none_of(f"{words}: spans dropped", counts["dropped"], counts["made"]),
        none_of(f"{words}: recorders that did not come back", counts["stopped"], runs),
    ]
