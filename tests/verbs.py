"""Verbs of `zoo`, typed in this process."""

from typing import Any

import pytest
from typer.testing import CliRunner

from zoo.cli import app
from zoo.errors import UserError


def typed(*arguments: str) -> Any:
    """Return what typer's runner says of a verb; errors come through."""
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def refused(*arguments: str) -> str:
    """Return the one sentence in which a verb is refused."""
    with pytest.raises(UserError) as caught:
        typed(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)
