"""What does not go together of questions, how they are asked and who reads them."""

from zoo.places import GLUE, QUESTIONS
from zoo.refusals.rule import Section

# The sets by their `data.task`.
SETS = {"zoo.data.glue": tuple(GLUE), "zoo.data.questions": (*QUESTIONS, "folder")}
EVALUATION_ONLY = "mmlu_medical"


def is_of_questions(data: Section) -> bool:
    return data.get("_target_") == "zoo.data.questions"


def sets_have_names(data: Section) -> str | None:
    known = SETS.get(str(data.get("_target_")))
    if known is None:
        return None
    for key in ("task", "eval_task"):
        typed = data.get(key)
        if typed is None and key == "eval_task":
            continue
        names = str(typed).split("+") if is_of_questions(data) else [str(typed)]
        for name in names:
            if name not in known:
                what = f"{', '.join(known[:-1])} or {known[-1]}"
                return f"data.{key}={'null' if typed is None else typed}: no such set; type {what}"
    return None


def evaluation_sets_are_not_learned(data: Section) -> str | None:
    if not is_of_questions(data) or EVALUATION_ONLY not in data["task"].split("+"):
        return None
    return (
        f"data.task={data['task']}: {EVALUATION_ONLY} has no training questions; type "
        f"data.task=medmcqa+medqa data.eval_task={EVALUATION_ONLY}"
    )


def folders_of_questions_are_read(data: Section) -> str | None:
    if not is_of_questions(data):
        return None
    names = f"{data['task']}+{data['eval_task']}".split("+")
    if ("folder" in names) == (data["folder"] is not None):
        return None
    if data["folder"] is None:
        return "data.folder=null: the set folder is read from it; type data.folder=FOLDER"
    return f"data.folder={data['folder']}: data.task={data['task']} does not read it; type data.task=folder"


def plain_has_nothing_between(data: Section) -> str | None:
    if data.get("format") != "plain" or data["markers"] == "none":
        return None
    return (
        f"data.format=plain: has nothing between its parts, and data.markers={data['markers']}; type "
        "data.markers=none"
    )


def written_answers_are_of_known_words(data: Section) -> str | None:
    if data.get("answers") != "text" or data["markers"] != "tokens":
        return None
    return (
        "data.markers=tokens: are new words, and a language model that learns to write answers "
        "(data.answers=text) keeps its vocabulary; type data.markers=words or none"
    )


def layouts_have_their_readers(data: Section, model: Section) -> str | None:
    if not is_of_questions(data):
        return None
    reads_back = str(model.get("_target_")).startswith("zoo.models.biomedlm.")
    fitting = "choices" if reads_back else "pairs"
    if data["layout"] not in (fitting, "auto"):
        return (
            f"data.layout={data['layout']}: is not for model={model['name']}; type data.layout=auto"
        )
    if not reads_back and data["markers"] == "tokens":
        return (
            f"data.markers=tokens: are new words of BioMedLM's, and model={model['name']} has [SEP]; type "
            "data.markers=words or none"
        )
    return None
