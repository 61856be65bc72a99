"""What a rule is made of."""

from collections.abc import Callable
from typing import Any

Section = dict[str, Any]
Rule = Callable[..., str | None]

BUDGETS = ("max_epochs", "max_steps", "max_samples", "budget_s")
