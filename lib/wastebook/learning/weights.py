"""Which weights a backbone gets: the same words with the same meaning for timm's networks and for Keras'."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import requests

from wastebook.errors import WastebookError

SERVER_SECONDS = 5.0  # within which a server of weights must answer for `auto` to wait for a download
SETTLING_PHOTOS = 32  # that set the BatchNorm statistics of random weights


def choose_weights(weights: str, find_imagenet: Callable[[bool], Path | None]) -> tuple[str, Path | None]:
    """What `weights` comes to (`imagenet`, `random` or a path), and the file they are in (None for random).

    `imagenet`; `random`; `auto`, ImageNet's where they are to be had, else random; or the path of a file.
    `find_imagenet(required)` gives the file, or None where there is none, or an error where one is required.
    WastebookError for anything else.
    """
    if weights == "random":
        return weights, None
    if weights in ("imagenet", "auto"):
        file = find_imagenet(weights == "imagenet")
        return ("imagenet" if file else "random"), file
    file = Path(weights).expanduser()
    if not file.is_file():
        raise WastebookError(
            f"There are no weights {weights!r}: name `auto`, `imagenet`, `random` or the path of a file."
        )
    return weights, file


@cache
def server_answers(url: str) -> bool:
    """Whether a server of weights answers in time; asked once a process."""
    try:
        return requests.head(url, timeout=SERVER_SECONDS).ok
    except requests.RequestException:
        return False
