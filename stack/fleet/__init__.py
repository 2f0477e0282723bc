"""A scripted fleet of real runs that fills the pipeline: good, failing, stuck, killed, expensive, foreign.

Every run is the real agent, command line or SDK on a repository of its own; only the provider of language
models is a local one that answers by a script. Proofs call it as Python, people as `python -m stack.fleet`.
"""

from .fleet import Fleet
from .host import Host
from .runs import Expected, Run
from .scenarios import SCENARIOS, STANDARD, Scenario

__all__ = ["SCENARIOS", "STANDARD", "Expected", "Fleet", "Host", "Run", "Scenario"]
