"""How questions are written, and what is cut of them."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.data.questions.prompt import Form, Format, Markers, Truncation, add_markers, ask
from zoo.data.questions.question import Question
from zoo.data.tokenizers import END_OF_TEXT, TextTokenizer, train_bpe
from zoo.errors import UserError

# Words of letters, each a token or more; 300 tokens are little more than bytes.
TOKENIZER = add_markers(train_bpe(lambda: ["a context and a question, an answer"] * 9, 300))
ABSTRACT = Question("1", "Is it so?", ("yes", "no", "maybe"), "It was seen. It was counted.")
EXAM = Question("2", "A man of 40 comes. Which is it?", ("this one", "that", "none", "both"))


def written(question: Question, **form: Any) -> str:
    return TOKENIZER.decode(ask([question], TOKENIZER, Form(**form)).prompts[0])


@pytest.mark.parametrize(
    ("form", "abstract", "exam"),
    [
        (
            {"format": "context_first", "markers": "tokens"},
            "[Context]It was seen. It was counted.[Question]Is it so?[Answer]",
            "[Question]A man of 40 comes. Which is it?[Answer]",
        ),
        (
            {"format": "question_first", "markers": "tokens"},
            "[Question]Is it so?[Context]It was seen. It was counted.[Answer]",
            "[Question]A man of 40 comes. Which is it?[Answer]",
        ),
        (
            {"format": "context_first", "markers": "words"},
            "Context: It was seen. It was counted.\nQuestion: Is it so?\nAnswer:",
            "Question: A man of 40 comes. Which is it?\nAnswer:",
        ),
        (
            {"format": "question_first", "markers": "none"},
            "Is it so?\nIt was seen. It was counted.",
            "A man of 40 comes. Which is it?",
        ),
        (
            {"format": "plain", "markers": "none"},
            "It was seen. It was counted.Is it so?",
            "A man of 40 comes. Which is it?",
        ),
        (
            {"markers": "words", "letters": True},
            "Context: It was seen. It was counted.\nQuestion: Is it so?\nA. yes\nB. no\nC. maybe\nAnswer:",
            "Question: A man of 40 comes. Which is it?\nA. this one\nB. that\nC. none\nD. both\nAnswer:",
        ),
    ],
)
def test_forms(form: dict[str, Any], abstract: str, exam: str) -> None:
    assert written(ABSTRACT, **form) == END_OF_TEXT + abstract
    assert written(EXAM, end_of_text=False, **form) == exam


def test_options_follow_behind_a_space_and_their_bytes_are_counted() -> None:
    options = (" yes ", "é")
    found = ask([Question("1", "So?", options)], TOKENIZER, Form())
    assert [TOKENIZER.decode(ids) for ids in found.options[0]] == [" yes", " é"]
    assert found.option_bytes == [[4, 3]]
    letters = ask([EXAM], TOKENIZER, Form(letters=True))
    assert [TOKENIZER.decode(ids) for ids in letters.options[0]] == [" A", " B", " C", " D"]


def test_a_marker_is_one_token_of_its_own_and_not_what_a_text_says() -> None:
    said = Question("1", "[Answer] [Question]", ("yes", "no"))
    found = ask([said], TOKENIZER, Form(markers="tokens", end_of_text=False)).prompts[0]
    marks = [TOKENIZER.id_of(f"[{name}]") for name in ("Question", "Answer")]
    assert [found[0], found[-1]] == marks
    assert not set(found[1:-1]) & set(marks)
    assert add_markers(TOKENIZER).vocab_size == TOKENIZER.vocab_size  # has them already


def cut(question: Question, truncation: str, over: int, **form: Any) -> tuple[str, int]:
    """Write a question for a length that is too small by so many tokens."""
    whole = ask([question], TOKENIZER, Form(**form))
    length = len(whole.prompts[0]) + max(map(len, whole.options[0]))
    found = ask(
        [question], TOKENIZER, Form(**form, truncation=truncation, max_length=length - over)
    )  # type: ignore[arg-type]
    assert len(found.prompts[0]) == len(whole.prompts[0]) - over
    assert found.options == whole.options
    return TOKENIZER.decode(found.prompts[0]), int(found.cut[0])


def test_the_question_is_kept() -> None:
    form = {"markers": "none", "end_of_text": False}
    text, gone = cut(ABSTRACT, "keep_question", 9, **form)
    assert gone == 9
    assert text.endswith("\nIs it so?")
    assert ABSTRACT.context.startswith(text.removesuffix("\nIs it so?"))
    context = len(TOKENIZER.encode([ABSTRACT.context])[0])
    text, gone = cut(ABSTRACT, "keep_question", context + 2, **form)
    assert (text.endswith("so?"), text.startswith("\n"), "It was" in text) == (True, True, False)
    text, _ = cut(EXAM, "keep_question", 8, **form)
    assert text.endswith("Which is it?")
    assert not text.startswith("A man")
    text, _ = cut(ABSTRACT, "keep_question", 9, markers="tokens")
    assert text.startswith(f"{END_OF_TEXT}[Context]It was")
    assert text.endswith("[Question]Is it so?[Answer]")


def test_sides_are_cut_as_a_tokenizer_does() -> None:
    form = {"format": "plain", "markers": "none", "end_of_text": False}
    whole = "It was seen. It was counted.Is it so?"
    ids = TOKENIZER.encode([ABSTRACT.context])[0] + TOKENIZER.encode([ABSTRACT.question])[0]
    assert TOKENIZER.decode(ids) == whole
    assert cut(ABSTRACT, "right", 12, **form) == (TOKENIZER.decode(ids[:-12]), 12)
    assert cut(ABSTRACT, "left", 12, **form) == (TOKENIZER.decode(ids[12:]), 12)
    text, _ = cut(ABSTRACT, "right", 3, markers="tokens")
    assert "[Answer]" not in text


@given(
    question=st.text(min_size=1, max_size=30).filter(str.strip),
    context=st.text(max_size=30),
    options=st.lists(st.text(min_size=1, max_size=9).filter(str.strip), min_size=2, max_size=26),
    form=st.builds(
        dict, format=st.sampled_from(get_args(Format)), markers=st.sampled_from(get_args(Markers)),
        truncation=st.sampled_from(get_args(Truncation)), letters=st.booleans(),
        end_of_text=st.booleans(), max_length=st.integers(4, 60),
    ),
)  # fmt: skip
def test_whatever_is_asked_fits_or_is_refused(
    question: str, context: str, options: list[str], form: dict[str, Any]
) -> None:
    asked = Question("7", question, tuple(options), context)
    longest = Form(**{**form, "max_length": 10**6})
    whole = ask([asked], TOKENIZER, longest)
    assert whole.cut.tolist() == [0]
    try:
        found = ask([asked], TOKENIZER, Form(**form))
    except UserError as refused:
        assert "question 7: its options and what stands around" in str(refused)
        return
    assert len(found.prompts[0]) >= 1
    assert len(found.prompts[0]) + max(map(len, found.options[0])) <= form["max_length"]
    assert found.options == whole.options
    assert found.cut[0] == len(whole.prompts[0]) - len(found.prompts[0])
    assert found.whole.tolist() == [len(whole.prompts[0]) - form["end_of_text"]]
    rest = iter(whole.prompts[0])
    assert all(i in rest for i in found.prompts[0]), "what stays is in its order"
    if form["truncation"] == "keep_question" and form["markers"] == "tokens":
        marks = {TOKENIZER.id_of(f"[{name}]") for name in ("Question", "Answer")}
        assert marks <= set(found.prompts[0])
    if found.cut[0]:
        total = len(found.prompts[0]) + max(map(len, found.options[0]))
        assert total == form["max_length"], "no more is cut than must be"


def test_without_room_it_is_one_sentence() -> None:
    with pytest.raises(UserError, match="leave no room for it within 8 tokens; type a larger"):
        ask([EXAM], TOKENIZER, Form(max_length=8))
    with pytest.raises(UserError, match="^line 3: its options"):
        ask([EXAM], TOKENIZER, Form(max_length=4), names=["line 3"])


def test_special_tokens_are_added_behind_the_others() -> None:
    plain: TextTokenizer = train_bpe(lambda: ["a context and a question"] * 9, 270)
    more = add_markers(plain)
    assert more.vocab_size == plain.vocab_size + 3
    assert more.encode(["a context"]) == plain.encode(["a context"])
    assert more.end_of_text == plain.end_of_text
    assert plain.id_of("[Context]") is None, "it is left as it was"
