"""A line of `zoo doctor`, and paths without names of people and machines."""

import getpass
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["ok", "missing", "slow", "broken"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        what: it is, in a word or two.
        state: ok; missing, of which nothing else depends; slow, but works; broken.
        detail: what was found.
        todo: what to type where it is not ok; it may be empty where nothing helps.
    """

    what: str
    state: State
    detail: str
    todo: str = ""


def private(text: str) -> str:
    """Return a text with the home folder as ~ and without user name, host name and e-mail.

    >>> private(f"{Path.home()}/outputs is full, says someone@example.org")
    '~/outputs is full, says EMAIL'
    """
    home = str(Path.home())
    if home != "/":
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    for name, instead in ((_user(), "USER"), (socket.gethostname(), "HOST")):
        if name:
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", instead, text)
    return re.sub(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", "EMAIL", text)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return ""
