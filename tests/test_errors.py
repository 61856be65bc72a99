"""Every sentence of a user's mistake says what to do: read from the source, so that none is missed."""

import ast
import re

import pytest

from tests.conftest import ROOT

# What a person is told to do; or the nearest names (`suggest`), or a text that others have made.
DO = re.compile(
    r"(^|[;:,] |\bor |\band |\bthen |it; )(or )?(type|write|download|mend|put|add|install|rename|delete|save|sort|"
    r"build|make|train|close|look to|leave|redo|give|use|label|shorten)\b"
)
# No mistake of the user's, or the second half of a sentence whose first half is elsewhere.
LEFT_OUT = {
    "_target_={}: cannot be found ({})",
    "its command gives another configuration, or its id is not of its content",
    "its command has {}, which decides no result and is not run",
    "its command is no `python train.py`",
}


def sentences() -> list[tuple[str, str]]:
    """Return (place, text) of every UserError whose text stands in the source."""
    found = []
    for path in sorted((ROOT / "zoo").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") == "UserError"
                and node.args
            ):
                text = text_of(node.args[0])
                if text is not None:
                    found.append((f"{path.relative_to(ROOT)}:{node.lineno}", text))
    return found


def text_of(node: ast.expr) -> str | None:
    """Return a text with `{}` for what is filled in; None where it is made elsewhere, or suggests."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        parts = [v.value if isinstance(v, ast.Constant) else ast.unparse(v) for v in node.values]
        if any(
            "suggest(" in str(p) or "_nearest(" in str(p) or "hint" in str(p) or "error" in str(p)
            for p in parts
        ):
            return None
        return "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)  # type: ignore[misc]
    return None


SENTENCES = sentences()


def test_sentences_are_found() -> None:
    assert len(SENTENCES) > 150
    assert {text for _, text in SENTENCES} >= LEFT_OUT


@pytest.mark.parametrize(("place", "text"), SENTENCES, ids=[place for place, _ in SENTENCES])
def test_it_says_what_to_do(place: str, text: str) -> None:
    filled_in = not re.search(r"[a-z]", text.replace("{}", ""))  # by what is tested elsewhere
    assert text in LEFT_OUT or filled_in or DO.search(text), text
    assert "\n" not in text
    assert not text.endswith(".") or text.endswith("=..."), (
        "one sentence, whose end the terminal sees"
    )
