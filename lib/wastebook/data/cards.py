"""The data-set cards: in `data/*.yml` of the sets that are known, as `card.yml` in a folder of one's own."""

import unicodedata
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, PositiveInt, StringConstraints, ValidationError, create_model
from ruamel.yaml import YAML, YAMLError

from wastebook import paths
from wastebook.errors import WastebookError

CARD = ("card.yml", "card.yaml")  # in a folder of one's own
Card = dict[str, Any]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
TEXTS = ("title", "task", "source", "homepage", "licence", "citation")


class _Form(BaseModel, extra="forbid", coerce_numbers_to_str=True):  # so what is misspelt is told
    pass


class _Class(_Form):
    name: Text
    spanish: Text
    folder: Text = ""


OWN: Any = dict.fromkeys((*TEXTS, "rights"), (Text, "")) | {"classes": (list[_Class], [])}
FILES = list[dict[Literal["name", "size", "sources", "split"], Any]]
SET: Any = {
    **dict.fromkeys(("name", *TEXTS), Text) | {"classes": list[_Class], "photos": PositiveInt},
    **dict.fromkeys(("files", "split_lists"), (FILES, [])) | {"kaggle": (Text, ""), "seed": (int, 0)},
    **dict.fromkeys(("per_class", "splits"), (dict[str, int], {})) | {"label_numbers": (dict[int, str], {})},
    **dict.fromkeys(("partial", "drawn", "test_only"), (bool, False)),
    "split_folders": (dict[str, str], {}),
    **{"bytes": (PositiveInt, 1), "fingerprint": (Sha256, ""), "rights": (Text, "")},
}


@cache
def load_cards() -> dict[str, Card]:
    """Every card by its name. Fields of all: `name`, `title`, `task`, `classes` (each `name` in English,
    `spanish`, and `folder` where that differs), `source`, `homepage`, `licence`, `citation`, and `photos`
    (how many there are). Those of the sets that the library draws also have `drawn`, true, and `seed`; those
    of sets that nothing is to learn from `test_only`, true; of photos not to be shown on `rights`: why."""
    files = sorted(paths.CARDS.glob("*.yml"), key=lambda file: file.stem)
    return {card["name"]: card for card in (read_card(file, SET) for file in files)}


def read_card(file: Path, fields: Any = OWN) -> Card:
    """What a card of these fields says. WastebookError, with its name, for what is missing or wrong."""
    try:
        # Every word is a text: a class may be called no, 007 or 1.10.
        content = YAML(typ="base", pure=True).load(file.read_text(encoding="utf-8"))
        form = create_model("Card", __base__=_Form, **fields)
        return form.model_validate(content or {}).model_dump(exclude_unset=True)
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise WastebookError(f"{file} is not right. {'; '.join(wrong)}.") from error
    except (OSError, ValueError, YAMLError, RecursionError) as error:
        raise WastebookError(f"{file} cannot be read: {' '.join(str(error).split())}.") from error


def class_folders(card: Card) -> dict[str, str]:
    """The class of each folder, by its `plain_name`, in which the set keeps its photos."""
    return {plain_name(entry.get("folder", entry["name"])): entry["name"] for entry in card["classes"]}


def plain_name(name: str) -> str:
    """A name without what tells none from another: case, spaces around it, how Unicode keeps accents."""
    return unicodedata.normalize("NFC", name).casefold().strip()
