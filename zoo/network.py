"""Whether a server is there, and a key for it: asked before a client that would retry for minutes.

And what W&B's client is told, wherever it is used, for it to send nothing of person and machine.
"""

import netrc
import os
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

# Keys of wandb.Settings; `program` is each caller's own, as else it is a path.
PRIVATE = {
    "host": "undisclosed",  # else the machine's name
    "console": "off",  # what is printed holds paths
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "x_disable_meta": True,  # host name, program path, user
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "silent": True,
}


def answers(url: str, timeout_s: float = 5.0) -> bool:
    """Whether anything answers at this address, be it with an error of its own."""
    try:
        urllib.request.urlopen(url, timeout=timeout_s).close()  # noqa: S310 - the user's setting
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def wandb_server() -> str:
    """Return the address of the W&B server."""
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")


def wandb_key_is_configured() -> bool:
    """Whether W&B could go online without asking: a key in the environment or in netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(wandb_server()).hostname or ""
    path = os.environ.get("NETRC", str(Path.home() / ".netrc"))
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
