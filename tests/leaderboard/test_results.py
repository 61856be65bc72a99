"""Pages of results: what is committed is what the curated records give, and cells are what they say."""

import statistics
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from tests.conftest import ROOT
from tests.factories import make_config, make_record
from zoo.errors import UserError
from zoo.leaderboard.boards import load_boards
from zoo.leaderboard.claims.claim import load_claims
from zoo.leaderboard.claims.pick import Index
from zoo.leaderboard.record import Record
from zoo.leaderboard.results.cost import cost
from zoo.leaderboard.results.page import markdown
from zoo.leaderboard.results.spec import Drawing, Results, Table, load_results
from zoo.verbs.results import TABLES, pages, within

LEADERBOARDS = ROOT / "leaderboards"
PAGES = ROOT / "docs" / "results"


def test_what_is_committed_is_what_the_records_give() -> None:
    made = dict(pages(LEADERBOARDS))
    for path, name in TABLES.items():
        text = (ROOT / path).read_text()
        assert f"<!-- {name}:" in text
        assert within(text, name, made.pop(name)) == text, f"{path}: type zoo results"
    assert {p.name for p in PAGES.iterdir()} == made.keys()
    for name, content in made.items():
        assert (PAGES / name).read_text() == content, f"{name}: type zoo results"


def test_a_paper_with_claims_has_a_page() -> None:
    boards, papers = load_boards(LEADERBOARDS), load_claims(LEADERBOARDS / "claims")
    found = load_results(LEADERBOARDS / "results", boards, papers)
    assert {page.claims for page in found.values()} >= set(papers)


def run(seed: int, acc: float, *, val: float = 0.5, lr: float = 0.1, **sections: Any) -> Record:
    config = make_config(seed, optimizer={"lr": lr, **sections.pop("optimizer", {})}, **sections)
    return make_record(seed, config=config, metrics={"test/acc": acc, "val/acc": val})


def cells(table: Table, records: list[Record]) -> dict[str, list[str]]:
    """Return the cells of a table by row, as the page has them."""
    page = Results(
        name="x", title="T", question="Q", set_up="S", commands=["python train.py"],
        figure=Drawing(board="digits", shows=""), tables=[table], says=["a"], differs=["b"],
    )  # fmt: skip
    text = markdown(page, Index(records), [], {})
    lines = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines[2:]}


BOTH = {"plain": {"optimizer.name": "sgd"}, "braked": {"optimizer.name": "adaptive_braking"}}
PLAIN = [0.50, 0.52, 0.57]
BRAKED = [0.60, 0.61, 0.68]


def two() -> list[Record]:
    braked = {"name": "adaptive_braking"}
    return [
        *(run(i, acc, lr=0.1) for i, acc in enumerate(PLAIN)),
        *(run(i, 0.99, val=0.4, lr=0.3) for i in range(3)),  # better on test, worse on validation
        *(run(i, acc, optimizer=braked) for i, acc in enumerate(BRAKED)),
    ]


def table(**changes: Any) -> Table:
    given = {"title": "T", "metric": "test/acc", "scale": "percent", "rows": BOTH}
    return Table.model_validate({**given, **changes})


def test_a_cell_is_mean_and_deviation_at_the_rate_that_validation_chooses() -> None:
    found = cells(table(), two())
    spread = 100 * statistics.stdev(PLAIN)
    assert found["plain"] == [f"53.0 ± {spread:.1f} (0.1)"]


def test_a_difference_is_paired_by_seed() -> None:
    found = cells(table(minus="plain", digits=3), two())
    differences = [100 * (b - a) for a, b in zip(PLAIN, BRAKED, strict=True)]
    low, high = stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
    mean = statistics.fmean(differences)
    assert found == {"braked": [f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"]}


def test_too_few_seeds_are_an_empty_cell_and_other_counts_are_told() -> None:
    assert cells(table(minimum_seeds=4), two())["plain"] == [""]
    found = cells(table(), [*two(), run(3, 0.5, optimizer={"name": "adaptive_braking"})])
    assert found["plain"][0].endswith(", n=3")
    assert "n=" not in found["braked"][0]  # the head says it: n = 4, if not said


def test_the_rate_of_other_conditions() -> None:
    late = [
        run(i, 0.3 + lr, val=lr, lr=lr, delay={"name": "constant", "steps": 8})
        for i in range(3)
        for lr in (0.1, 0.3)
    ]
    prompt = [
        run(i, 0.6, val=-lr, lr=lr, delay={"name": "constant", "steps": 0})
        for i in range(3)
        for lr in (0.1, 0.3)
    ]
    columns = {"8": {"delay.steps": 8}}
    rows = {"plain": {"optimizer.name": "sgd"}}
    own = cells(table(rows=rows, columns=columns), late + prompt)
    borrowed = cells(table(rows=rows, columns=columns, like={"delay.steps": 0}), late + prompt)
    assert own["plain"] == ["60.0 ± 0.0 (0.3)"]
    assert borrowed["plain"] == ["40.0 ± 0.0 (0.1)"]


def test_a_run_that_diverged_is_no_mean() -> None:
    bad = two()[0].model_copy(update={"status": "diverged"})
    assert cells(table(), [bad, *two()[1:3]])["plain"] == ["1 of 3 diverged"]


def test_runs_that_differ_in_more_are_refused() -> None:
    more = [run(i, 0.5, model={"width": 8}) for i in range(3)]
    with pytest.raises(UserError, match="T: plain: runs differ in model.width"):
        cells(table(), [*two(), *more])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("tabels: []", "x.yaml: tabels: no such key; did you mean tables"),
        ("claims: adaptive_breaking", "x.yaml: claims=adaptive_breaking: there is none; did you"),
        ("figure: {board: digit, shows: s}", "x.yaml: figure.board=digit: there is none; did you"),
        ("figure: {shows: s}", "x.yaml: figure: a figure is of a board or of a run's ranges"),
        (
            "tables: [{title: t, metric: m, rows: {a: {}}, minus: b}]",
            "x.yaml: tables.0: minus: b: no such row",
        ),
        (
            "tables: [{title: t, metric: m, rows: {a: {}}, tune_by: test/acc}]",
            "x.yaml: tables.0: tune_by: test/acc is of the test split",
        ),
    ],
)
def test_a_mistake_is_one_sentence(change: str, said: str, tmp_path: Path) -> None:
    lines = {
        "title": "title: T", "question": "question: Q", "set_up": "set_up: S",
        "commands": "commands: [c]", "figure": "figure: {board: digits, shows: s}",
        "tables": "tables: [{title: t, metric: m, rows: {a: {}}}]", "says": "says: [a]",
        "differs": "differs: [b]",
    }  # fmt: skip
    lines[change.partition(":")[0]] = change
    (tmp_path / "x.yaml").write_text("\n".join(lines.values()))
    papers = load_claims(LEADERBOARDS / "claims")
    with pytest.raises(UserError) as error:
        load_results(tmp_path, load_boards(LEADERBOARDS), papers)
    assert said in str(error.value)


def test_what_is_around_a_table_stays() -> None:
    text = "a\n<!-- t: made by `zoo results` -->\nold\n<!-- end of t -->\nb\n"
    made = within(text, "t", "| new |")
    assert made == text.replace("\nold\n", "\n\n| new |\n\n")
    assert within(made, "t", "| new |") == made
    assert within(text, "other", "| new |") == text


def test_a_table_without_its_end_takes_nothing_away() -> None:
    with pytest.raises(UserError, match="is not followed by <!-- end of t -->; put that"):
        within("a\n<!-- t: made by `zoo results` -->\nb\n", "t", "| new |")


def test_a_broken_record_ends_it(tmp_path: Path) -> None:
    board = (LEADERBOARDS / "digits.yaml").read_text()
    (tmp_path / "digits.yaml").write_text(board)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "00.json").write_text("{")
    with pytest.raises(UserError, match="00.json: .*; mend it, or move it away"):
        list(pages(tmp_path))


def test_a_difference_of_fewer_pairs_says_so_and_of_a_rival_that_diverged_is_none() -> None:
    braked = {"name": "adaptive_braking"}
    more = [*two(), *(run(i, 0.5, optimizer=braked) for i in (3, 4))]
    found = cells(table(minus="plain"), more)
    assert found["braked"][0].endswith(", n=3")
    bad = [r.model_copy(update={"status": "diverged"}) if r.seed == 0 else r for r in two()[:3]]
    assert cells(table(minus="plain"), [*bad, *two()[6:]])["braked"] == ["1 of 3 diverged"]


def test_the_cost_is_a_sum_of_clocks_and_the_larger_of_two_bounds() -> None:
    clocks = {"time/train_s": 3000.0, "time/eval_s": 600.0}
    small = make_record(0, metrics={**clocks, "train/steps": 360_000.0, "flops/total": 1e12})
    large = make_record(
        1, metrics={**clocks, "train/steps": 1.0, "flops/total": 0.3 * 312e12 * 7200}
    )
    lines = [
        [c.strip() for c in line.split("|")[1:-1]] for line in cost([small, large]).splitlines()
    ]
    assert lines[2][:3] == ["images, digits", "2", "360,001"]
    assert lines[2][4:] == ["2.0", "3.0"]  # 1 + 1 hours; 1 of launches + 2 of arithmetic
    assert lines[3][1:] == lines[2][1:]
