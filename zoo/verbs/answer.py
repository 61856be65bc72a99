"""`zoo answer`: which option of a question a trained model takes for the answer."""

import itertools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from zoo.errors import UserError
from zoo.verbs.generate import DISCLAIMER, AsJson, Checkpoint, load, short
from zoo.verbs.progress import watch

if TYPE_CHECKING:
    from zoo.answering import Answerer


def answer(
    checkpoint: Checkpoint,
    question: Annotated[str | None, typer.Option(help="the question")] = None,
    choice: Annotated[
        list[str] | None, typer.Option(help="an option; typed once for each of them")
    ] = None,
    context: Annotated[str, typer.Option(help="what the question is about; may be empty")] = "",
    file: Annotated[
        Path | None,
        typer.Option(help="JSON lines with question, options, and maybe id, context, answer"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="of --file: JSON lines; goes on where it was cut off")
    ] = None,
    form: Annotated[
        Literal["context_first", "question_first", "plain"] | None,
        typer.Option(
            "--format",
            help="order of context and question; plain: nothing between them; as in training, or "
            "context_first",
        ),
    ] = None,
    markers: Annotated[
        Literal["tokens", "words", "none"] | None,
        typer.Option(
            help="Context:, Question: and Answer: before the parts, or none; as in training, or words"
        ),
    ] = None,
    truncation: Annotated[
        Literal["keep_question", "left", "right"] | None,
        typer.Option(
            help="what goes of a prompt that is too long; as in training, or keep_question"
        ),
    ] = None,
    by: Annotated[
        Literal["likelihood", "generation"] | None,
        typer.Option(
            help="of a language model: the likelihood of each option (so it is, where nothing is typed), "
            "or what it writes, matched with the options"
        ),
    ] = None,
    letters: Annotated[
        bool,
        typer.Option(
            "--letters",
            help="of a language model: list the options in the prompt, with their letters",
        ),
    ] = False,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="of --by generation: tokens of an answer at most; the longest option's, and one",
        ),
    ] = None,
    normalise: Annotated[
        Literal["none", "token", "byte"] | None,
        typer.Option(
            help="of a language model: divide an option's log-likelihood by its tokens (so it is, where "
            "nothing is typed), its bytes, or nothing"
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="questions at once")] = 8,
    begin: Annotated[
        bool | None,
        typer.Option("--begin/--no-begin", help="an end-of-text token first; as in training"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question with options, or every one of a file.

    Says the answer, and a score for each option.
    """
    if (question is None) == (file is None):
        raise UserError(
            'zoo answer: type --question "..." --choice "..." --choice "...", or --file FILE with '
            "--out FILE"
        )
    if (file is None) != (out is None):
        raise UserError(
            "zoo answer: --file and --out go together; type --file FILE --out FILE.jsonl"
        )
    if file is not None and (choice or context):
        raise UserError(
            "zoo answer: --choice and --context are of --question; write them into --file"
        )
    from zoo.data.questions.files import read_questions
    from zoo.data.questions.question import LETTERS, Question, checked

    if file is not None:
        questions = read_questions(file)
        names = [f"--file {file} question {q.id}" for q in questions]
    else:
        assert question is not None
        names = [f"--question {short(question)!r}"]
        questions = [checked(Question("1", question, tuple(choice or ()), context), names[0])]
    typed = {"format": form, "markers": markers, "truncation": truncation, "end_of_text": begin}
    typed |= {"letters": letters or None}
    asked_as = {key: value for key, value in typed.items() if value is not None}
    answerer = _answerer(checkpoint, asked_as, by, normalise, max_new_tokens, batch_size)
    if out is not None:
        counts = answerer.into_file(questions, names, out)
        done = next(counts)  # what is wrong with the questions is said before anything else
        print(DISCLAIMER, file=sys.stderr)
        watch(itertools.chain([done], counts), len(questions), "questions")
        _tell(out, len(questions), by == "generation", as_json)
        return
    asked = answerer.ask(questions, names)
    found: Any = next(iter(next(answerer.answers(questions, asked))))
    print(DISCLAIMER, file=sys.stderr)
    if found.cut:
        print(f"{names[0]}: {found.cut} tokens of it did not fit and were cut", file=sys.stderr)
    if as_json:
        print(json.dumps(vars(found), ensure_ascii=False))
        return
    if found.scores is None:
        print(f"written: {found.written.strip()!r}")
        print(
            f"{found.letter}. {found.answer}"
            if found.letter
            else "unmatched: is none of the options"
        )
        return
    table = Table(box=None)
    for column in ("", "option", "score", "probability"):
        table.add_column(column, justify="left" if column in ("", "option") else "right")
    for letter, option, score, p in zip(
        LETTERS, found.options, found.scores, found.probabilities, strict=False
    ):
        table.add_row(letter, option, f"{score:.3f}", f"{100 * p:.1f}%")
    Console().print(table)
    print(f"{found.letter}. {found.answer}")


def _tell(out: Path, count: int, written: bool, as_json: bool) -> None:
    """Say what is in a file of answers, and of written ones how many match no option."""
    told: dict[str, Any] = {"written": str(out)}
    said = f"{count} answers in {out}"
    if written:
        lines = out.read_text(encoding="utf-8").split("\n")[1:-1]
        told["unmatched"] = sum(json.loads(line)["letter"] is None for line in lines)
        said += f", {told['unmatched']} of them unmatched: none of their question's options"
    print(json.dumps(told) if as_json else said)


def _answerer(
    checkpoint: str,
    asked_as: dict[str, Any],
    by: str | None,
    normalise: Any,
    max_new_tokens: int | None,
    batch_size: int,
) -> "Answerer":
    """Return what answers: by its head, by likelihood or by writing.

    Args:
        checkpoint: as it was typed.
        asked_as: what of a question's form was typed.
        by: as it was typed; None: it was not.
        normalise: likewise.
        max_new_tokens: likewise.
        batch_size: questions at once.
    """
    from zoo.answering import Answerer, Settings
    from zoo.choosing import HeadAnswerer, load_chooser
    from zoo.data.questions.prompt import MARKERS, Form
    from zoo.hardware import device_type

    if by == "generation" and normalise is not None:
        raise UserError(
            f"--normalise {normalise}: is of likelihoods, and --by is generation; leave one of them out"
        )
    if by != "generation" and max_new_tokens is not None:
        raise UserError(
            f"--max-new-tokens {max_new_tokens}: is of what is written; type --by generation, or leave "
            "it out"
        )
    chooser = load_chooser(checkpoint)
    trained = load(checkpoint) if chooser is None else chooser
    config = trained.model.config
    known: dict[str, Any] = {
        "max_length": getattr(config, "n_positions", None) or config.max_position_embeddings,
        "end_of_text": bool(trained.begins),
    }
    if chooser is not None:
        known["end_of_text"] = chooser.layout == "choices"
    known |= {} if trained.form is None else vars(trained.form)
    form = Form(**{**known, **asked_as})
    if form.format == "plain" and form.markers != "none":
        raise UserError(
            f"--format plain: has nothing between its parts, and --markers is {form.markers}; type "
            "--markers none"
        )
    if form.markers == "tokens" and trained.tokenizer.id_of(*MARKERS.values()) is None:
        raise UserError(
            f"--markers tokens: {checkpoint} was trained without them; type --markers words or none"
        )
    if chooser is not None and (by is not None or asked_as.get("letters")):
        option = "--letters" if by is None else f"--by {by}"
        raise UserError(
            f"{option}: is of language models, and {checkpoint} has a head; leave it out"
        )
    if chooser is not None and normalise is not None:
        raise UserError(
            f"--normalise {normalise}: is of likelihoods, and {checkpoint} has a head; leave it out"
        )
    trained.model.to(device_type("auto"))
    if by == "generation":
        from zoo.writing import Writer

        settings = Settings(form=form, normalise="none", batch_size=batch_size)
        return Writer(trained, settings, max_new_tokens)
    if chooser is None:
        settings = Settings(form=form, normalise=normalise or "token", batch_size=batch_size)
        return Answerer(trained, settings)
    return HeadAnswerer(chooser, Settings(form=form, normalise="none", batch_size=batch_size))
