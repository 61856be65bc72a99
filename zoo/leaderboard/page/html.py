"""One file out of template, style, program and data.

Two walls stand between a record's text and the reader's browser. The data is JSON in a script
element that no browser runs, with every character that could end the element escaped; and the
content security policy lets the page run exactly the scripts whose hashes it names, and fetch
nothing at all.
"""

import base64
import hashlib
import json
import re
from importlib import resources
from typing import Any

# In this order: each may use what stands before it.
PROGRAM = (
    *("dom.js", "labels.js", "plot.js", "seeds.js", "curves.js", "heatmap.js", "ranges.js"),
    *("detail.js", "compare.js", "table.js", "board.js", "claims.js", "methods.js", "app.js"),
)
STYLE = ("style.css", "heat.css", "claims.css", "methods.css")
_ESCAPES = {"&": "\\u0026", "<": "\\u003c", ">": "\\u003e"}


def render(payload: dict[str, Any]) -> str:
    """Return the page that shows this payload."""
    plotly = _read("plotly", "package_data/plotly.min.js")
    program = "".join(_read(__package__, name) for name in PROGRAM)
    parts = {
        "policy": _policy(plotly, program),
        "style": "".join(_read(__package__, name) for name in STYLE),
        "plotly": plotly,
        "program": program,
        "data": embed(payload),
    }
    # In one pass, so that nothing inserted is taken for a place to insert something.
    template = _read(__package__, "template.html")
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template)


def embed(value: Any) -> str:
    r"""Return JSON that is safe inside a script element.

    `ensure_ascii` takes care of U+2028 and U+2029, which end a line in JavaScript, too.

    >>> print(embed({"a": "</script>"}))
    {"a":"\u003c/script\u003e"}
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return re.sub("[&<>]", lambda found: _ESCAPES[found[0]], text)


def _policy(*scripts: str) -> str:
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    sources = " ".join(f"'sha256-{h}'" for h in hashes)
    # Plotly writes style attributes, and makes its PNG download from a blob.
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _read(package: str, name: str) -> str:
    text = resources.files(package).joinpath(name).read_text(encoding="utf-8")
    if name.endswith(".js") and re.search(r"</script|<!--", text, re.IGNORECASE):
        raise ValueError(f"{name}: cannot stand in a script element")
    return text
