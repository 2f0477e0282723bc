"""What must never be written down: rules for the shapes of secrets, and the values that are known to be one.

Everything that is stored or leaves passes a `Redactor` first; cutting long values comes after, since a cut
secret escapes its pattern.
"""

from __future__ import annotations

from .names import is_secret_name
from .redactor import Redactor
from .rules import RULES, Rule

__all__ = ["RULES", "Redactor", "Rule", "is_secret_name"]
