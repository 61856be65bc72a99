"""`zoo analyse` as a user types it: tables, JSON, figures, and what is said of mistakes."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from zoo.cli import app
from zoo.delay.analysis import figures, studies
from zoo.delay.analysis.chart import Axis, Curve, panel
from zoo.delay.analysis.half_life import least_half_life
from zoo.delay.analysis.polynomials import METHODS
from zoo.delay.analysis.rates import stable_rates
from zoo.delay.analysis.tables import number
from zoo.errors import UserError
from zoo.leaderboard.page.labels import Box
from zoo.leaderboard.page.svg import picture

SVG = "{http://www.w3.org/2000/svg}"
DOCS = (ROOT / "docs" / "analysis.md").read_text(encoding="utf-8")


def zoo(*words: str, width: int = 80) -> str:
    result = CliRunner().invoke(
        app, ["analyse", *words], catch_exceptions=False, env={"COLUMNS": str(width)}
    )
    assert result.exit_code == 0
    return result.stdout


@pytest.fixture
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw and tabulate less than the verbs do, as fast as a test should be."""
    monkeypatch.setattr(figures, "CURVE_DELAYS", (0, 2))
    monkeypatch.setattr(figures, "REGION_DELAYS", (0, 2))
    monkeypatch.setattr(figures, "REGION_MOMENTA", (0.0, 0.9))
    monkeypatch.setattr(studies, "PARTITIONS", (0,))
    monkeypatch.setattr(studies, "KAPPAS", (10.0,))
    monkeypatch.setattr(studies, "KAPPA_DELAY", 1)


def parse(path: Path) -> ET.Element:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"href|url\(|@import|<script", text)
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    return root


def classed(root: ET.Element, name: str) -> list[ET.Element]:
    return [e for e in root.iter() if name in e.get("class", "").split()]


@pytest.mark.usefixtures("fewer")
def test_delay_end_to_end(tmp_path: Path) -> None:
    words = ("delay", "--delays", "0,8", "--rho", "0,2", "--out", str(tmp_path))
    told = json.loads(zoo(*words, "--json"))
    assert told["limits"]["sgdm"][0] == pytest.approx(3.8, rel=1e-5)
    assert told["braking"]["2.0"][1]["largest"] == pytest.approx(0.153, rel=0.04)
    assert len(told["random"]) == 1
    assert [Path(p).name for p in told["written"]] == ["delay_stability.svg", "delay_regions.svg"]

    stability, regions = (parse(Path(p)) for p in told["written"])
    curves = classed(stability, "curve")
    assert len(curves) == 3
    assert "ρ = 2" in ["".join(e.itertext()) for e in classed(stability, "name")]
    # Larger rates are higher: without delay plain momentum is above rho = 2, with it below.
    plain, braked = (
        [float(p.split(",")[1]) for p in c.get("points", "").split()] for c in curves[:2]
    )
    assert plain[0] < braked[0]
    assert plain[1] > braked[1]
    assert len(classed(regions, "curve")) == 6


@pytest.mark.usefixtures("fewer")
def test_pipeline_end_to_end(tmp_path: Path) -> None:
    words = ("pipeline", "--delays", "0,1", "--kappa", "100", "--stages", "34")
    told = json.loads(zoo(*words, "--out", str(tmp_path), "--json"))
    assert set(told["by_delay"]) == set(METHODS)
    assert told["by_delay"]["sgdm"][0]["half_life"] == pytest.approx(3.454, rel=0.01)
    assert told["pipelines"][0]["utilisation"]["128"] == pytest.approx(0.6598, abs=1e-3)
    half_life, loci = (parse(Path(p)) for p in told["written"])
    assert len(classed(half_life, "curve")) == len(METHODS)
    assert len(classed(loci, "loci")) == 6
    assert len(classed(loci, "circle")) == 6


@pytest.mark.usefixtures("fewer")
def test_the_tables_of_pipeline_fit() -> None:
    table = zoo("pipeline", "--delays", "1", "--stages", "34,169")
    assert max(map(len, table.splitlines())) <= 80
    assert "LWPw+SC" in table
    assert "66.0%" in table


@pytest.mark.usefixtures("fewer")
def test_the_tables_of_delay_fit() -> None:
    table = zoo("delay", "--delays", "4", "--momentum", "0.99", "--blocks", "1")
    assert max(map(len, table.splitlines())) <= 80
    assert "momentum 0.99" in table
    assert "…" not in table


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("delay --delays=0,-4", "--delays 0,-4: must be whole numbers from 0 to 128; type e.g. "),
        ("delay --delays=many", "--delays many: must be whole"),
        ("delay --delays=", "--delays : must be whole numbers"),
        ("delay --momentum=1", "--momentum 1: must be in [0, 1); type e.g. --momentum 0.9"),
        ("delay --momentum=nan", "--momentum nan: must be in [0, 1)"),
        ("delay --rho=1,nan", "--rho 1,nan: must be finite numbers; type e.g. --rho 0,1,2"),
        ("delay --blocks=7", "--blocks 7: must divide the 64 directions; type e.g. --blocks 8"),
        ("pipeline --kappa=0.5", "--kappa 0.5: must be from 1 to 1e6; type e.g. --kappa 1000"),
        ("pipeline --delays=100", "--delays 100: must be whole numbers from 0 to 64; type"),
        ("pipeline --stages=0", "--stages 0: must be whole numbers from 1 to 1000000; type"),
    ],
)
def test_mistakes_end_in_one_sentence(words: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        CliRunner().invoke(app, ["analyse", *words.split(" ")], catch_exceptions=False)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_torch_is_not_imported_and_the_other_verbs_import_nothing_of_it() -> None:
    code = (
        "import sys, zoo.cli; assert 'zoo.delay.analysis.studies' not in sys.modules\n"
        "import zoo.delay.analysis.figures, zoo.delay.analysis.tables\n"
        "assert not {'torch', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_text_in_a_chart_is_text() -> None:
    evil = "</text><script>alert(1)</script>&\"'"
    axis = Axis(evil, 0.1, 10.0)
    curves = [Curve(evil, [(1.0, 1.0), (2.0, float("nan")), (3.0, 2.0)], 0)]
    parts = panel(Box(50, 50, 300, 200), axis, axis, curves, title=evil, named=True)
    root = ET.fromstring(picture(400, 300, evil, evil, "", parts))
    assert not list(root.iter(f"{SVG}script"))
    said = ["".join(e.itertext()) for e in root.iter(f"{SVG}text")]
    assert said.count(evil) == 5
    assert len(classed(root, "curve")[0].get("points", "").split()) == 2


def row(title: str, first: str) -> list[str]:
    """Return a row's cells of a table in the documentation."""
    lines = iter(DOCS.partition(title)[2].splitlines())
    found = next(line for line in lines if line.split()[:1] == [first])
    return re.split(r"\s{2,}", found.strip())[1:]


def test_the_documentation_shows_what_is_measured() -> None:
    braked = stable_rates([0.9] * 6, [0, 0.5, 1, 2, -1, -2], 4)
    # To the digits shown here; on another machine a cycle may leave its bounds a little earlier.
    told = [float(cell) for cell in row("with Adaptive Braking", "4")]
    assert told == pytest.approx([rates.safe for rates in braked], rel=0.03)
    halves = [least_half_life(METHODS[name], 1, 1e3).half_life for name in METHODS]
    shown = [float(cell.replace(",", "")) for cell in row("Least half-life of the error", "1")]
    assert shown == pytest.approx([float(number(h).replace(",", "")) for h in halves], rel=0.01)


@pytest.mark.parametrize("name", sorted(re.findall(r"\((\w+\.svg)\)", DOCS)))
def test_the_figures_of_the_documentation_are_pictures(name: str) -> None:
    assert classed(parse(ROOT / "docs" / name), "title")


def test_every_number_has_three_digits() -> None:
    assert [number(x) for x in (0.0, 12.34, 999.4, 0.1)] == ["0", "12.3", "999", "0.100"]
