"""`zoo generate`: text from a trained language model; `zoo export`: the model for Hugging Face."""

import itertools
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.errors import UserError, first_line
from zoo.verbs.progress import watch

DISCLAIMER = (
    "What follows is made up by a language model. It may be wrong in every word and is no medical "
    "advice."
)

Checkpoint = Annotated[
    str, typer.Option(help="folder of a run, outputs/ID; of save_pretrained; or a name on the hub")
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of text")]


def generate(
    checkpoint: Checkpoint,
    prompt: Annotated[list[str] | None, typer.Option(help="may be typed several times")] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="a prompt a line, or JSON lines with a `prompt` or a `source`"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="of --file: JSON lines; goes on where it was cut off")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="tokens of a text at most")] = 64,
    temperature: Annotated[
        float, typer.Option(min=0, help="0: the likeliest token each time; 1: as they are likely")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="of the draws")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="prompts at once")] = 8,
    begin: Annotated[
        bool | None,
        typer.Option("--begin/--no-begin", help="an end-of-text token first; as in training"),
    ] = None,
    source: Annotated[
        bool,
        typer.Option(
            "--source/--no-source",
            help="of a run of data=pairs: prompts are sources, behind which its separator is put; or "
            "texts as they are",
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Let a model go on with a prompt, or every prompt of a file."""
    if (not prompt) == (file is None):
        raise UserError('zoo generate: type --prompt "...", or --file FILE with --out FILE')
    if (file is None) != (out is None):
        raise UserError(
            "zoo generate: --file and --out go together; type --file FILE --out FILE.jsonl"
        )
    prompts, names = _prompts(prompt, file)
    from zoo.generation import Settings, into_file, texts
    from zoo.hardware import device_type

    trained = load(checkpoint)
    trained.model.to(device_type("auto"))
    settings = Settings(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        batch_size=batch_size,
        begins=bool(trained.begins) if begin is None else begin,
        separator=trained.separator if source else None,
    )
    if out is None:
        for number, batch in enumerate(texts(trained, prompts, settings, names)):
            if not number:
                print(DISCLAIMER, file=sys.stderr)
            for text in batch:
                said = f"{text.prompt}{text.text}"
                if settings.separator is not None:
                    said = text.text.strip()
                print(json.dumps(vars(text)) if as_json else said)
        return
    counts = into_file(trained, prompts, settings, names, out)
    first = next(counts)  # what is wrong with the prompts is said before anything else
    print(DISCLAIMER, file=sys.stderr)
    watch(itertools.chain([first], counts), len(prompts), "prompts")
    print(json.dumps({"written": str(out)}) if as_json else f"{len(prompts)} texts in {out}")


def export(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="a folder that is not there yet")],
    as_json: AsJson = False,
) -> None:
    """Write a model and its tokenizer in Hugging Face's format."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: is not empty; type a folder that is not there yet")
    out = out.absolute()  # of "." too
    from transformers.utils import logging

    from zoo.trained import load_published

    logging.disable_progress_bar()
    model, tokenizer = load_published(checkpoint)
    scratch = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        model.save_pretrained(scratch)
        tokenizer.save(scratch)
        scratch.replace(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    count, auto = model.num_parameters(), _auto_class(type(model).__name__)
    if as_json:
        print(json.dumps({"written": str(out), "parameters": count, "class": auto}))
    else:
        first = "import zoo.models.mosaicbert; " if "Mosaic" in type(model).__name__ else ""
        print(f"{count:,} parameters in {out}: {first}{auto}.from_pretrained({str(out)!r})")


def _auto_class(name: str) -> str:
    """Return which of transformers' Auto classes reads a model.

    >>> _auto_class("GPT2LMHeadModel"), _auto_class("BertForSequenceClassification")
    ('AutoModelForCausalLM', 'AutoModelForSequenceClassification')
    """
    _, of, head = name.partition("For")
    return f"AutoModelFor{head}" if of else "AutoModelForCausalLM"


def load(checkpoint: str) -> Any:
    """Return what `zoo.trained.load_trained` does, without progress bars of its own."""
    from transformers.utils import logging

    from zoo.trained import load_trained

    logging.disable_progress_bar()
    return load_trained(checkpoint)


def _prompts(typed: list[str] | None, file: Path | None) -> tuple[list[str], list[str]]:
    """Return prompts and what each is called in a sentence."""
    if file is None:
        assert typed
        return typed, [f"--prompt {short(text)!r}" for text in typed]
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--file {file}: cannot be read ({first_line(error)}); type a file of UTF-8 text"
        ) from None
    # Inside of JSON there may be what else ends a line, such as U+2028.
    lines = content.rstrip("\n").split("\n") if file.suffix == ".jsonl" else content.splitlines()
    if not content:
        raise UserError(f"--file {file}: is empty; write a prompt a line into it")
    names = [f"--file {file} line {number}" for number in range(1, len(lines) + 1)]
    if file.suffix == ".jsonl":
        return [_prompt_of(line, name) for line, name in zip(lines, names, strict=True)], names
    return lines, names


def _prompt_of(line: str, name: str) -> str:
    from zoo.data.json_lines import object_of

    told = object_of(line) or {}
    prompt = told.get("prompt", told.get("source"))
    if not isinstance(prompt, str):
        raise UserError(f'{name}: is no JSON with a prompt; write {{"prompt": "Thrombin is"}}')
    return prompt


def short(text: str) -> str:
    """Return a text as a sentence quotes it."""
    return text if len(text) <= 30 else f"{text[:27]}..."
