"""Whether a server is there, asked before a client that would retry for minutes."""

import urllib.error
import urllib.request


def answers(url: str, timeout_s: float = 5.0) -> bool:
    """Whether anything answers at this address, be it with an error of its own."""
    try:
        urllib.request.urlopen(url, timeout=timeout_s).close()  # noqa: S310 - the user's setting
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
