"""`zoo generate` and `zoo export`: what a trained model writes, and where it is written."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel

from tests.verbs import refused, typed
from zoo.data.tokenizers import train_bpe
from zoo.errors import UserError
from zoo.generation import Settings, generate, into_file
from zoo.models.biomedlm import configuration
from zoo.trained import Trained, load_trained

PROMPTS = ["The statement", "A", "Names refer to objects. Names are", "x = 1", "class"]


@pytest.fixture(scope="module")
def run(language_model: Path) -> Path:
    return language_model


@pytest.fixture(scope="module")
def trained(run: Path) -> Trained:
    return load_trained(str(run))


def test_the_weights_are_the_runs(run: Path, trained: Trained) -> None:
    saved = torch.load(run / "last.ckpt", weights_only=True)["state_dict"]
    own = trained.model.state_dict()
    assert own
    for name, weight in own.items():
        assert torch.equal(weight, saved[f"net.{name}"]), name
    assert trained.begins is True
    assert trained.tokenizer.vocab_size == 300


def test_greedy_text_is_the_likeliest_token_again_and_again(trained: Trained) -> None:
    """Padded at their begin and with a cache, five prompts are what each is by itself without."""
    end = trained.tokenizer.end_of_text
    encoded = [[end, *ids] for ids in trained.tokenizer.encode(PROMPTS)]
    found = generate(trained, encoded, range(5), Settings(max_new_tokens=12))
    for ids, new in zip(encoded, found, strict=True):
        text = list(ids)
        while (len(text) < len(ids) + 12 and text[-1:] != [end]) or len(text) == len(ids):
            with torch.no_grad():
                text.append(int(trained.model(torch.tensor([text])).logits[0, -1].argmax()))
        assert new == text[len(ids) :]


def test_draws_are_from_the_softmax_and_do_not_depend_on_the_batch(trained: Trained) -> None:
    end = trained.tokenizer.end_of_text
    settings = Settings(max_new_tokens=1, temperature=2.0, seed=3)
    n = 4000
    drawn = torch.tensor(generate(trained, [[end, 40]] * n, range(n), settings)).flatten()
    with torch.no_grad():
        p = (trained.model(torch.tensor([[end, 40]])).logits[0, -1] / 2).softmax(-1)
    counts = torch.bincount(drawn, minlength=300).double()
    often = p * n > 5
    chi2 = float(((counts - n * p) ** 2 / (n * p))[often].sum())
    degrees = int(often.sum())
    assert degrees > 20
    assert abs(chi2 - degrees) < 5 * math.sqrt(2 * degrees)
    alone = generate(trained, [[end, 40]], [17], settings)
    assert alone[0] == [int(drawn[17])]


def test_prompts_on_the_command_line(run: Path) -> None:
    words = ("generate", "--checkpoint", str(run), "--max-new-tokens", "4")
    done = typed(*words, "--prompt", "The statement", "--prompt", "Names")
    assert done.stderr.count("no medical advice") == 1
    assert done.stdout.startswith("The statement")
    rows = [json.loads(x) for x in typed(*words, "--prompt", "Names", "--json").stdout.splitlines()]
    assert "Names" + rows[0]["text"] in done.stdout
    assert rows[0]["tokens"] <= 4


@pytest.mark.parametrize("keep", [0, 10, 2500, 3100])
def test_a_file_goes_on_where_it_was_cut_off(trained: Trained, tmp_path: Path, keep: int) -> None:
    prompts, names = PROMPTS * 5, [f"line {i}" for i in range(25)]
    settings = Settings(max_new_tokens=6, temperature=1.0, batch_size=4)
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    list(into_file(trained, prompts, settings, names, whole))
    cut.write_bytes(whole.read_bytes()[:keep])
    counts = list(into_file(trained, prompts, settings, names, cut))
    assert cut.read_bytes() == whole.read_bytes()
    rows = [json.loads(line) for line in cut.read_text().splitlines()[1:]]
    assert [row["prompt"] for row in rows] == prompts
    assert (counts[0] > 0) == (keep > 1000)
    assert counts[-1] == 25
    with pytest.raises(UserError, match="holds texts of other prompts, settings or weights; type"):
        list(into_file(trained, prompts, Settings(seed=1), names, cut))
    with pytest.raises(UserError, match="holds texts of other prompts"):
        list(into_file(trained, ["y", *prompts[1:]], settings, names, cut))


def test_a_file_of_prompts(run: Path, tmp_path: Path) -> None:
    source = tmp_path / "prompts.jsonl"
    source.write_text('{"prompt": "two\\nlines"}\n{"prompt": "é"}\n')
    words = ["generate", "--checkpoint", str(run), "--file", str(source), "--max-new-tokens", "3"]
    done = typed(*words, "--out", str(tmp_path / "out.jsonl"))
    assert "2 texts in" in done.stdout
    assert done.stderr.count("no medical advice") == 1
    rows = [json.loads(x) for x in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows[1:]] == ["two\nlines", "é"]


def test_an_exported_model_loads_in_plain_transformers(
    run: Path, trained: Trained, tmp_path: Path
) -> None:
    out = tmp_path / "exported"
    said = json.loads(typed("export", "--checkpoint", str(run), "--out", str(out), "--json").stdout)
    theirs = AutoModelForCausalLM.from_pretrained(out).eval()
    assert type(theirs) is GPT2LMHeadModel
    assert said["parameters"] == theirs.num_parameters()
    ids = torch.randint(0, 300, (2, 16))
    with torch.no_grad():
        assert torch.equal(theirs(ids).logits, trained.model(ids).logits)
    words = AutoTokenizer.from_pretrained(out)
    assert words("The statement")["input_ids"] == trained.tokenizer.encode(["The statement"])[0]
    assert words.eos_token_id == theirs.config.eos_token_id == trained.tokenizer.end_of_text
    again = load_trained(str(out))  # and here
    assert again.fingerprint == trained.fingerprint
    assert again.begins is None
    assert "is not empty" in refused("export", "--checkpoint", str(run), "--out", str(out))


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A model that transformers wrote, of the paper's configuration."""
    words = train_bpe(lambda: ["thrombin and myocardium"] * 9, 270)
    words.save(tmp_path / "theirs")
    config = configuration("nano", words.vocab_size, words.vocab_size - 1)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "theirs")
    return tmp_path / "theirs"


def test_mistakes_are_one_sentence(run: Path, published: Path, tmp_path: Path) -> None:
    ask = ("generate", "--checkpoint", str(run))
    assert "--prompt ' ': is empty; type" in refused(*ask, "--prompt", " ")
    long = "word " * 600
    assert "and the model's context 1024; type a prompt of at most 1023" in refused(
        *ask, "--prompt", long
    )
    said = refused(*ask, "--prompt", "The", "--max-new-tokens", "1024")
    assert "of the model's context of 1024; type --max-new-tokens 10" in said
    assert "--file FILE with --out FILE" in refused(*ask)
    (tmp_path / "empty.txt").write_text("")
    files = ("--file", str(tmp_path / "empty.txt"), "--out", str(tmp_path / "o"))
    assert "empty.txt: is empty; write" in refused(*ask, *files)
    (tmp_path / "empty.txt").write_text("one\n\nthree\n")
    assert "empty.txt line 2: is empty; type" in refused(*ask, *files)
    assert not (tmp_path / "o").exists()
    (tmp_path / "broken.jsonl").write_text('{"prompt": "a"}\n{"prompt": \n')
    files = ("--file", str(tmp_path / "broken.jsonl"), "--out", str(tmp_path / "o"))
    assert "broken.jsonl line 2: is no JSON with a prompt" in refused(*ask, *files)
    nothing = refused("generate", "--checkpoint", str(tmp_path), "--prompt", "a")
    assert "has neither a run's last.ckpt nor a config.json; type" in nothing

    theirs = ("generate", "--checkpoint", str(published), "--prompt", "thrombin")
    assert typed(*theirs, "--max-new-tokens", "2").stdout.startswith("thrombin")
    other = train_bpe(lambda: ["thrombin and myocardium"] * 9, 275)
    other.engine.add_tokens([f"more{i}" for i in range(9)])
    other.engine.save(str(published / "tokenizer.json"))
    assert "tokens and the model knows 2" in refused(*theirs)
    text = (published / "tokenizer.json").read_text()
    (published / "tokenizer.json").write_text(text.replace("<|endoftext|>", "[PAD]"))
    assert "its tokenizer has no end-of-text token" in refused(*theirs)
    (published / "tokenizer.json").unlink()
    assert "has no tokenizer.json beside it; save" in refused(*theirs)


def test_a_run_that_has_not_ended_or_is_of_images_writes_nothing(
    run: Path, tmp_path: Path, tiny: Any
) -> None:
    (tmp_path / "last.ckpt").write_bytes((run / "last.ckpt").read_bytes())
    with pytest.raises(UserError, match=r"has no record, so it has not ended; type its command"):
        load_trained(str(tmp_path))
    (tmp_path / "record.json").write_text(tiny.to_json())
    with pytest.raises(
        UserError, match=r"is of task=classification, and no model of text is kept there; type"
    ):
        load_trained(str(tmp_path))
