"""Inputs that nobody meant: mutations of real files, and what is known to be hard."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.processes import ROOT

Draw = Callable[[st.SearchStrategy[Any]], Any]

ODD: list[Any] = [
    None, True, 0, -1, 1e308, 10**400, -(2**70), 0.5, "", "nan", "\x00", "\ud800", "🦒" * 3, "a" * 5000, [], {},
    [[]], [None], {"": None}, {"a": {"b": {"c": []}}}, float("nan"), float("inf"), "${oc.env:HOME}", "../..",
    "2026-02-30", "yes", "1e5", "<b>", "%s", "\x1b[2J", "[", "{0}", "__class__",
]  # fmt: skip


def nested(depth: int, of: str = "[]") -> str:
    return of[0] * depth + of[1] * depth


@st.composite
def mutated(draw: Draw, document: Any) -> Any:
    """A JSON document with one to three of its values, or names of keys, replaced, doubled or gone."""
    tree = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        node, place = tree, None
        for _ in range(draw(st.integers(1, 6))):
            inside = node if place is None else node[place]
            keys = (
                list(inside)
                if isinstance(inside, dict)
                else list(range(len(inside)))
                if isinstance(inside, list)
                else []
            )
            if not keys:
                break
            node, place = inside, draw(st.sampled_from(keys))
        if place is None:
            continue
        how = draw(st.sampled_from(("odd", "gone", "wrapped", "number", "renamed", "text", "type")))
        value = node[place]
        if how == "odd":
            node[place] = copy.deepcopy(draw(st.sampled_from(ODD)))
        elif how == "gone":
            del node[place]
        elif how == "wrapped":
            node[place] = draw(
                st.sampled_from(([value], {"a": value}, [value, copy.deepcopy(value)]))
            )
        elif how == "number":
            node[place] = draw(st.integers(-(10**20), 10**20) | st.floats())
        elif how == "text":
            node[place] = draw(st.text(max_size=12))
        elif how == "type":
            node[place] = str(value) if not isinstance(value, str) else len(value)
        elif isinstance(node, dict):
            name = draw(st.text(max_size=6) | st.sampled_from(sorted(map(str, node))))
            node[name] = node.pop(place)
    return tree


@st.composite
def torn(draw: Draw, content: bytes) -> bytes:
    """Bytes that are cut, overwritten, doubled or moved in a few places."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(found) - 1, 0)))
        how = draw(st.sampled_from(("cut", "byte", "insert", "double", "zeros")))
        end = min(len(found), place + draw(st.integers(1, 40)))
        if how == "cut":
            del found[place:end]
        elif how == "byte" and found:
            found[place] = draw(st.integers(0, 255))
        elif how == "insert":
            found[place:place] = draw(
                st.binary(max_size=8)
                | st.sampled_from(
                    [
                        b"\xff\xfe",
                        b"\x00",
                        b"[" * 50,
                        b"\xed\xa0\x80",
                        b"1e999",
                        b"NaN",
                        b"-Infinity",
                    ]
                )
            )
        elif how == "double":
            found[end:end] = found[place:end]
        else:
            found[place:end] = bytes(end - place)
    if draw(st.booleans()) and draw(st.booleans()):
        del found[draw(st.integers(0, len(found))) :]
    return bytes(found)


def as_json(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def json_files(*documents: Any, more: list[bytes] = []) -> st.SearchStrategy[bytes]:  # noqa: B006
    """Files of JSON that are nearly these documents, deeply nested, or nothing of the kind."""
    deep = [nested(n, of).encode() for n in (100, 3000, 200_000) for of in ("[]", "[ ")]
    deep += [b'{"a":' * n + b"1" + b"}" * n for n in (200, 100_000)]
    deep += [
        b"",
        b"null",
        b"1",
        b'"',
        b"9" * 5000,
        b"\xef\xbb\xbf{}",
        b"\xff",
        b'{"a":1,"a":2}',
        *more,
    ]
    near = [mutated(d).map(as_json) for d in documents] + [torn(as_json(d)) for d in documents]
    return st.one_of(*near, st.sampled_from(deep), st.binary(max_size=40))


LAUGHS = "\n".join(
    [f"a0: &a0 [{', '.join(['lol'] * 9)}]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
)
# What would be executed, or would never end, in a loader that is not safe.
BAD_YAML = [
    LAUGHS, "&a [*a]", "a: &a {b: *a}", "<<: *none", "? [a]\n: b", "? {a: b}\n: c", "!!python/object/apply:os.system ['touch CANARY']",
    "title: !!python/object/new:subprocess.Popen [['touch', 'CANARY']]", "!!binary aaa", "!!timestamp x", "2026-02-30",
    "a: 2026-13-45", "!!int x", "!!float _", "1_000: 0x", "a: 1:99:99", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [[a]]",
    "!!int ''", "!!bool x", "a: !!null x", "a: .inf", "\x00", "a: '\\ud800'", 'a: "\\ud800"', "- " * 3000 + "a", "%YAML 9.9\n---\na: b", "--- a\n--- b", "a: b: c", "\t",
    nested(900), nested(100_000), nested(3000, "{}"), "a:\n" + "".join(" " * n + "a:\n" for n in range(1500)), "= : 1", "a: =", "!!value x", "0o9: 1", "1e400: 1",
]  # fmt: skip


def yaml_files(*paths: Path) -> st.SearchStrategy[bytes]:
    """Files of YAML that are nearly these, or are known to be hard."""
    import yaml

    loaded = [yaml.safe_load(p.read_text()) for p in paths]

    def laughing(tree: Any) -> bytes:
        """A valid file, one of whose values is a bomb."""
        head = "".join(
            f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9) if n else 'lol'}]\n" for n in range(10)
        )
        return (head + json.dumps(tree)[1:-1]).encode()

    bombs = []
    for tree in loaded:
        for key in tree:
            others = "".join(f"{k}: {json.dumps(v)}\n" for k, v in tree.items() if k != key)
            bomb = "".join(
                f"- &x{n} [{', '.join([f'*x{n - 1}'] * 9) if n else 'lol'}]\n" for n in range(10)
            )
            bombs.append(f"{others}{key}:\n{bomb}".encode())
    return st.one_of(
        *(mutated(d).map(as_json) for d in loaded),  # JSON is YAML
        *(torn(p.read_bytes()) for p in paths),
        st.sampled_from([text.encode(errors="surrogatepass") for text in BAD_YAML] + bombs),
        st.binary(max_size=40),
    )


def overrides(keys: list[str]) -> st.SearchStrategy[list[str]]:
    """Command lines: keys of the configuration, or nearly, and values of every kind."""
    groups = ["model", "data", "precision", "optimizer", "scheduler", "delay", "trainer", "callbacks", "logger", "task", "experiment", "sweeps", "hydra/launcher"]  # fmt: skip
    hard = [
        "", "null", "true", "nan", "-inf", "1e400", "9" * 400, "-1", "0", "0.5", "[", "]", "{", "[]", "{}", "{a: b}", "'", '"', "''", "\\", "\x00", "é", "a b", "a,b",
        "choice(", "choice(1,2)", "glob(*)", "range(0,3)", "range(0,1,0)", "interval(0,1)", "sort(2,1)", "shuffle(a,b)", "tag(a,b)", "int(x)", "json_str({})",
        "${", "${}", "${a}", "${oc.env:HOME}", "${oc.env:NONE}", "${oc.decode:'['}", "${oc.create:{a: b}}", "${seed}", "${trainer}", "${.}", "${..}", "${hydra:runtime}", "${now:%Y}",
        "${model.name}", "os.system", "{_target_: os.system, command: touch CANARY}", "{_target_: builtins.eval}", "{_target_: zoo.run.Run}", "{_target_: torch.nn.ReLU}", "[" * 200 + "]" * 200,
        "169", "fp32", "resnet8", "digits", "sgd", "../x", "/etc/passwd", "~", "a=b", "@", "none", "text", "mosaicbert", "*", "%d",
    ]  # fmt: skip
    key = st.sampled_from([*keys, *groups]) | st.text(max_size=8)
    before = st.sampled_from(["", "", "", "+", "++", "~", "-", "--", " "])
    after = st.sampled_from(["", "", "", ".x", "._target_", "@x", "[0]", ".0", "."])
    value = st.sampled_from(hard) | st.text(max_size=8)
    one = st.builds(
        lambda b, k, a, e, v: f"{b}{k}{a}{e}{v}",
        before,
        key,
        after,
        st.sampled_from(["=", "=", "=", "", "=="]),
        value,
    )
    return st.lists(one, min_size=1, max_size=3)


RECORDS = ROOT / "leaderboards" / "records"
