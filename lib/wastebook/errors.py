"""The one error that readers of the book are meant to see."""

import difflib
from collections.abc import Iterable


class WastebookError(Exception):
    """Something the user can mend. The message: what is wrong, where, and the way out, in a line or two."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error for an unknown `name`: the nearest of `known`, or all of them."""
    known = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known) or 'none'}."
