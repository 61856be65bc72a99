"""Every board loads and renders; filters, columns, formats, and the verbs of `zoo`."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.factories import DATA, make_config, make_ranges, make_record
from zoo.cli import app
from zoo.errors import UserError
from zoo.leaderboard.boards import (
    Axis,
    differing_keys,
    load_board,
    load_boards,
    select,
    show_cell,
    show_number,
    view,
)
from zoo.leaderboard.frontier import Cell, depends_on_hardware, group_by_seed
from zoo.leaderboard.record import Curve, Record
from zoo.leaderboard.report import report
from zoo.leaderboard.store import Stored, read_record, scan, write_record
from zoo.leaderboard.terminal import print_board

ROOT = Path(__file__).resolve().parent.parent.parent
BOARDS = load_boards(ROOT / "leaderboards")


def some_records() -> list[Record]:
    return [
        make_record(
            s,
            accuracy=0.8 + w / 100 + s / 1000,
            train_s=1.0 * w,
            config=make_config(s, model={"width": w}),
        )
        for w in (2, 4, 8, 16)
        for s in range(2)
    ]


@pytest.mark.parametrize("name", list(BOARDS))
def test_every_board_has_its_command_and_takes_records(name: str) -> None:
    board = BOARDS[name]
    text = (ROOT / "leaderboards" / f"{name}.yaml").read_text()
    assert text.startswith(f"# zoo board {name}\n")
    wanted = {k.split(".")[0]: v for k, v in board.where.items()}
    assert wanted, "a board says which records belong to it"
    assert board.sweeps, "a board says which sweep fills it"
    assert set(board.sweeps) <= {p.stem for p in (ROOT / "sweeps").glob("*.yaml")}
    for axis in board.costs:
        filled = view(board, [], axis.key)
        assert filled.groups == []


def test_a_board_selects_groups_and_marks() -> None:
    records = [*some_records(), make_record(9, data=DATA.model_copy(update={"name": "cifar10"}))]
    filled = view(BOARDS["digits"], records)
    assert len(filled.groups) == 4
    assert filled.columns == ["model.width"]
    assert all(g.on_frontier for g in filled.groups)
    assert [filled.label(g) for g in filled.groups] == ["width 16", "width 8", "width 4", "width 2"]


def test_where_takes_lists_and_looks_into_config_data_and_hardware() -> None:
    board = BOARDS["digits"].model_copy(
        update={"where": {"model.width": [2, 4], "hardware.device": "cpu", "status": "finished"}}
    )
    assert {r.config["model"]["width"] for r in select(board, some_records())} == {2, 4}
    nothing = board.model_copy(update={"where": {"model.width": 3}})
    assert select(nothing, some_records()) == []


def test_columns_are_the_fewest_keys_that_tell_groups_apart() -> None:
    def config(name: str, depth: int, lr: float) -> dict[str, Any]:
        return make_config(0, model={"name": name, "depth": depth}, optimizer={"lr": lr})

    groups = group_by_seed(
        make_record(config=c)
        for c in (config("a", 8, 0.1), config("b", 20, 0.1), config("b", 20, 0.2))
    )
    assert differing_keys(groups) == ["model.name", "optimizer.lr"]


def test_a_label_leaves_out_what_is_off() -> None:
    board = BOARDS["digits"].model_copy(update={"columns": ["delay.name", "precision.loss_scale"]})
    scales = ("none", "dynamic", 1024)
    records = [
        make_record(config=make_config(precision={"loss_scale": scale}), accuracy=0.9 - i / 10)
        for i, scale in enumerate(scales)
    ]
    filled = view(board, records)
    assert [filled.label(g) for g in filled.groups] == [
        "none",
        "none loss_scale dynamic",
        "none loss_scale 1024",
    ]


def test_number_formats_are_compared_by_costs_that_no_clock_is_in() -> None:
    board = BOARDS["number_formats"].model_copy(update={"minimum_seeds": 1})
    assert not any(depends_on_hardware(axis.key) for axis in board.costs)

    def trained(name: str, accuracy: float, bits: int, **trainer: Any) -> Record:
        config = make_config(
            model={"name": "resnet20"},
            precision={"name": name},
            trainer={"max_steps": 200, **trainer},
        )
        metrics = {
            "test/acc": accuracy,
            "cost/bit_flops": 1e15 * bits**2 / 32**2,
            "cost/bytes_moved": 1e12 * bits / 32,
        }
        data = DATA.model_copy(update={"name": "cifar10"})
        return make_record(config=config, metrics=metrics, data=data, emulated=bits < 32)

    longer = trained("fp32", 0.9, 32, max_steps=2000)
    shown = [trained("fp32", 0.5, 32), trained("fp169", 0.49, 16), trained("fp16", 0.1, 16)]
    filled = view(board, [*shown, longer])
    assert [filled.label(g) for g in filled.groups] == ["fp32", "fp169", "fp16"]
    assert [g.on_frontier for g in filled.groups] == [True, True, False]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.01234, "0.0123"),
        (12.34, "12.3"),
        (36480, "36.5k"),
        (166446858240, "166G"),
        (2e15, "2P"),
        (999.96, "1k"),
        (999999, "1M"),
        (0, "0"),
    ],
)
def test_numbers_fit_a_cell(number: float, text: str) -> None:
    assert show_number(number) == text


def test_a_cell_shows_mean_and_spread_where_there_is_one() -> None:
    percent = Axis(key="a", label="a", direction="max", percent=True)
    assert show_cell(Cell(0.975, 0.0031, 3), percent) == "97.50 ± 0.31"
    assert show_cell(Cell(0.975, None, 1), percent) == "97.50"
    assert show_cell(Cell(None, None, 0, 2), percent) == "-"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("title: [", "not valid YAML"),
        ("[1]", "a board is a mapping"),
        (
            "title: t\nquestion: q\nquality: {key: a, label: a, direction: up}\ncosts: [{key: b, label: b, direction: min}]",
            r"bad.yaml: quality.direction=up: must be 'min' or 'max'",
        ),
        ("title: t\nquestion: q\nquality: {key: a, label: a, direction: max}\ncosts: []", "costs"),
        (
            "title: t\nquestion: q\nquality: {key: a, label: a, direction: max}\ncosts: [{key: b, label: b, direction: min}]\ncolums: [a]",
            r"bad.yaml: colums: no such key; did you mean columns",
        ),
        (
            "title: t\nquestion: q\nquality: {key: a, label: a, direction: max}\ncosts: [{key: b, label: b, direction: min, lg: true}]",
            r"bad.yaml: costs.0.lg: no such key; did you mean log",
        ),
        (
            "title: t\nquestion: q\nquality: {key: a, label: a, direction: max}\ncosts: [{key: b, label: b, direction: min}]\ntarget: {keys: a}",
            r"bad.yaml: target.key: is missing; write it into the file",
        ),
    ],
)
def test_a_bad_board_is_named_with_its_key(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(UserError, match=sentence) as caught:
        load_board(tmp_path / "bad.yaml")
    assert str(caught.value).startswith("bad.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.fixture
def place(tmp_path: Path) -> list[str]:
    for record in some_records():
        write_record(record, tmp_path / "out" / record.id / "record.json")
    for name in BOARDS:
        target = tmp_path / "boards" / f"{name}.yaml"
        target.parent.mkdir(exist_ok=True)
        target.write_text((ROOT / "leaderboards" / f"{name}.yaml").read_text())
    return ["--output-dir", str(tmp_path / "out"), "--leaderboards", str(tmp_path / "boards")]


def zoo(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False, env={"COLUMNS": "100"})


def test_zoo_board_prints_the_groups_and_the_frontier(place: list[str]) -> None:
    shown = zoo("board", "digits", *place)
    assert shown.exit_code == 0
    lines = [line for line in shown.output.splitlines() if line.strip().startswith("*  ")]
    assert [line.split()[1] for line in lines] == ["16", "8", "4", "2"]
    assert "96.05 ± 0.07" in shown.output
    assert "local" in shown.output


def test_zoo_board_as_json_and_against_another_cost(place: list[str]) -> None:
    content = json.loads(zoo("board", "digits", "--json", "--cost", "train/samples", *place).output)
    assert content[0]["cost"] == "train/samples"
    best = content[0]["groups"][0]
    assert best["config"] == {"model.width": 16}
    assert best["metrics"]["test/acc"]["n"] == 2
    assert [g["on_frontier"] for g in content[0]["groups"]] == [True, False, False, False]


def test_zoo_board_shows_the_best_rows_and_the_frontier(place: list[str]) -> None:
    shown = zoo("board", "digits", "--top", "1", "--cost", "train/samples", *place).output
    shown = " ".join(shown.split())
    assert "96.05 ± 0.07" in shown
    assert "3 rows more with --top 0" in shown
    assert "rows more" not in zoo("board", "digits", "--top", "0", *place).output
    with pytest.raises(UserError, match="cost foo: no board has such a cost"):
        zoo("board", "--cost", "foo", *place)


def test_zoo_records_counts_and_fails_on_a_bad_one(place: list[str]) -> None:
    assert "8 valid records (0 curated, 8 local)" in zoo("records", *place).output
    bad = Path(place[1]) / "torn"
    bad.mkdir()
    (bad / "record.json").write_text("{")
    shown = zoo("records", *place)
    assert shown.exit_code == 1
    assert "record.json" in shown.output
    content = json.loads(zoo("records", "--json", *place).output)
    assert len(content["records"]) == 8
    assert len(content["problems"]) == 1


def test_zoo_merge_makes_local_records_curated(place: list[str]) -> None:
    chosen = some_records()[0].id
    assert "1 records are curated now" in zoo("merge", chosen, *place).output
    assert "8 valid records (1 curated, 7 local)" in zoo("records", *place).output
    with pytest.raises(UserError, match="run 0123: no valid record"):
        zoo("merge", "0123", *place)
    zoo("merge", *place)
    assert "(8 curated, 0 local)" in zoo("records", *place).output


def test_zoo_merge_thins_curves_and_keeps_their_ends(place: list[str]) -> None:
    before = {r.id: r for r in some_records()}
    zoo("merge", "--points", "2", *place)
    curated = [read_record(path) for path in (Path(place[3]) / "records").iterdir()]
    assert len(curated) == 8
    for after in curated:
        assert after.metrics == before[after.id].metrics
        for key, curve in after.curve.items():
            whole = before[after.id].curve[key]
            assert curve.step == [whole.step[0], whole.step[-1]]
            assert curve.value == [whole.value[0], whole.value[-1]]


def test_zoo_page_writes_a_page_and_figures(place: list[str], tmp_path: Path) -> None:
    shown = zoo("page", "--out", str(tmp_path / "site"), *place)
    assert "8 records" in shown.output
    assert (tmp_path / "site" / "index.html").stat().st_size > 1_000_000  # plotly is inside
    assert (tmp_path / "site" / "digits.svg").read_text().startswith("<svg")
    assert (
        json.loads(zoo("page", "--json", "--out", str(tmp_path / "s2"), *place).output)["records"]
        == 8
    )


def test_zoo_figure_draws_a_frontier_or_the_ranges_of_a_run(
    place: list[str], tmp_path: Path
) -> None:
    monitored = make_record(7, ranges=make_ranges(steps=3, layers=2))
    file = tmp_path / "out" / monitored.id / "record.json"
    write_record(monitored, file)
    out = tmp_path / "x.svg"
    drawn = []
    for arguments in (
        ("digits",),
        ("--ranges", monitored.id),
        ("--ranges", str(file)),
        ("--ranges", monitored.id, "--by-layer"),
    ):
        assert zoo("figure", *arguments, "--out", str(out), *place).exit_code == 0
        drawn.append(out.read_text())
        assert drawn[-1].startswith("<svg")
    assert drawn[1] == drawn[2]
    assert len(set(drawn)) == 3
    plain = some_records()[0].id
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    for arguments, said in (
        ((), "type a board, or --ranges"),
        (("digits", "--ranges", monitored.id), "type a board, or --ranges"),
        (("--ranges", plain), "train it again with callbacks=ranges"),
        (("--ranges", "0123"), "run 0123: no record of it"),
        (("--ranges", str(broken)), "Field required"),
    ):
        with pytest.raises(UserError, match=said):
            zoo("figure", *arguments, "--out", str(out), *place)


def test_an_unknown_board_is_one_sentence_and_exit_code_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "board", "digts"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "zoo: board digts: no such board; did you mean digits?\n"


def test_the_zoo_command_imports_no_torch() -> None:
    code = "import sys, zoo.cli; sys.exit(bool({'torch', 'lightning', 'numpy', 'plotly', 'wandb'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("processor", "waited", "said"), [(9.0, 0.0, False), (6.0, 0.0, True), (6.0, 3.0, False)]
)
def test_a_machine_that_was_busy_is_told_of(
    processor: float, waited: float, said: bool, capsys: Any
) -> None:
    clocks = {"time/train_s": 10.0, "time/cpu_s": processor, "time/data_wait_s": waited}
    record = make_record(0, metrics={**make_record(0).metrics, **clocks})
    report(record, Path("outputs"), Path("none"), ROOT / "leaderboards")
    assert ("with a processor for 60% of it" in " ".join(capsys.readouterr().out.split())) is said


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_number_and_no_name_is_broken_in_a_board_of_many_columns(width: int) -> None:
    corpora = {"corpus": "pubmed", "tokenizer_corpus": "pubmed+pmc", "train_bytes": 2_000_000}
    board = BOARDS["digits"].model_copy(
        update={
            "columns": [*(f"data.{k}" for k in corpora), "model.name", "optimizer.lr"],
            "where": {},
        }
    )
    found = [
        make_record(s, config=make_config(s, data={**corpora, "corpus": c}, optimizer={"lr": 1e-4}))
        for s in range(3)
        for c in ("pubmed", "c4")
    ]
    filled = view(board, found)
    out = io.StringIO()
    print_board(Console(file=out, width=width), filled, [])
    for word in ("2000000", "pubmed+pmc", "resnet8", "0.0001"):
        assert word in out.getvalue(), word
    assert max(len(line) for line in out.getvalue().splitlines()) <= width


@pytest.mark.parametrize(
    ("curated", "said"),
    [
        ([True, True], "all records are curated"),
        ([False, False], "all records are local"),
        ([True, False], "1 of 2 records are local, the others curated"),
    ],
)
def test_where_emulated_records_and_others_are(curated: list[bool], said: str) -> None:
    found = [make_record(0), make_record(1, emulated=True)]
    stored = [Stored(r, Path(r.id), c) for r, c in zip(found, curated, strict=True)]
    out = io.StringIO()
    board = BOARDS["digits"].model_copy(update={"where": {}})
    print_board(Console(file=out, width=80), view(board, found), stored)
    assert said in " ".join(out.getvalue().split())


def test_a_list_of_records(tmp_path: Path) -> None:
    record = make_record(3)
    write_record(record, tmp_path / record.id / "record.json")
    typed = ["records", "--list", "--output-dir", str(tmp_path), "--leaderboards", str(tmp_path)]
    done = CliRunner().invoke(app, typed)
    assert done.exit_code == 0
    line = done.stdout.splitlines()[0]
    assert line.startswith(f"{record.id}  finished, test/acc")
    assert line.endswith(record.command)


@pytest.mark.parametrize(("evaluation", "said"), [(9.0, False), (11.0, True)])
def test_a_run_that_mostly_evaluates_says_so(evaluation: float, said: bool, capsys: Any) -> None:
    clocks = {"time/train_s": 10.0, "time/eval_s": evaluation}
    curve = {
        "val/acc": Curve(step=[1, 2], samples=[1, 2], tokens=None, train_s=[1, 2], value=[0, 1])
    }
    record = make_record(0, metrics={**make_record(0).metrics, **clocks}, curve=curve)
    report(record, Path("outputs"), Path("none"), ROOT / "leaderboards")
    assert ("most of it evaluation" in " ".join(capsys.readouterr().out.split())) is said


def test_every_board_has_rows_of_the_curated_records() -> None:
    """A condition that no record fulfils would go unseen: an empty board says no more than that."""
    stored, _ = scan(None, ROOT / "leaderboards" / "records", curves=False)
    records = [s.record for s in stored]
    assert [name for name, board in BOARDS.items() if not select(board, records)] == []
