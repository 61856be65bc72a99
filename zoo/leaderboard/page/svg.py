"""What the pictures share: their paper, light or dark as the reader's system is, and text."""

import re
from collections.abc import Iterable
from html import escape

from zoo.leaderboard.page.labels import shorten

_STYLE = """\
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; fill: #1f2328; }
.paper { fill: #ffffff; stroke: #d1d9e0; }
.title { font-size: 17px; font-weight: 600; }
.quiet { font-size: 12px; fill: #59636e; }
.grid { stroke: #e4e8ec; }
.axis { stroke: #8b949e; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .paper { fill: #0d1117; stroke: #30363d; }
  .quiet { fill: #9aa4af; }
  .grid { stroke: #21262d; }
  .axis { stroke: #6e7681; }
}
"""


def picture(
    width: int, height: int, title: str, about: str, style: str, parts: Iterable[str]
) -> str:
    """Return an SVG document: paper, a title on it, and the parts.

    Args:
        width: in pixels.
        height: in pixels.
        title: drawn, and told to screen readers.
        about: told to screen readers.
        style: more rules of CSS, none of which may fetch anything.
        parts: elements, as text.
    """
    opening = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-labelledby="t d">',
        f'<title id="t">{escape(clean(shorten(title, 80)))}</title>',
        f'<desc id="d">{escape(clean(about))}</desc>',
        f"<style>\n{_STYLE}{style}</style>",
        f'<rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
        text_at(24, 33, title, "title", limit=80),
    ]
    return "\n".join([*opening, *parts, "</svg>", ""])


def text_at(
    x: float, y: float, said: str, css: str, anchor: str = "start", *, limit: int = 200
) -> str:
    """Return a text element; `css` names its classes."""
    at = f' text-anchor="{anchor}"' if anchor != "start" else ""
    style = f' class="{css}"' if css else ""
    return f'<text{style} x="{x:.1f}" y="{y:.1f}"{at}>{escape(clean(shorten(said, limit)))}</text>'


def clean(said: str) -> str:
    """Replace what XML cannot hold even as an entity: control characters, lone surrogates."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", said)
