"""Training epoch by epoch, each kept before the next: one that was killed goes on as if nothing had been; and
within the memory that there is."""

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from filelock import FileLock

from wastebook.errors import WastebookError
from wastebook.files import atomic_write, explain_full_disk
from wastebook.learning.predictions import Scores

OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError")  # TensorFlow's and torch's errors
Result = TypeVar("Result")
Epoch = tuple[float, float, float, float, float]  # loss and accuracy on train, on validation, and seconds


class Learner(Protocol):
    """What learns, in whatever framework, by a recipe with `epochs` and `patience`: for an epoch, from 1, of
    which it gives the scores on train and validation. `read` takes back to the bit what `write` has kept, or
    raises an error of any kind and takes nothing."""

    name: str
    recipe: Any

    def run_epoch(self, epoch: int) -> tuple[Scores, Scores]: ...
    def merit(self, epoch: Epoch) -> Any: ...
    def weights(self) -> Any: ...
    def write(self, file: Path, epochs: list[Epoch], chosen: Any) -> None: ...
    def read(self, file: Path) -> tuple[list[Epoch], Any]: ...


def train_by_epochs(
    learner: Learner, file: Path, launch: Callable[[], None] | None = None, rank: int | None = None
) -> tuple[list[Epoch], Any]:
    """Learn for the recipe's epochs, or until for its patience none had a greater merit; gives their scores,
    and the weights of the best.

    All is kept in `file` after each: from there a training goes on, and one that is over is not run again. A
    second process that wants the same one waits for it. Processes that a `launch` starts learn in its place,
    alike, each with its `rank`: the first, 0, keeps all. WastebookError where a loss is no longer a number.
    """
    done: list[Epoch] = []
    best, chosen, (epochs, patience) = 0, None, (learner.recipe.epochs, learner.recipe.patience)
    with FileLock(file.with_suffix(".lock")) if rank is None else nullcontext(), explain_full_disk(file):
        with suppress(Exception):  # not there, or damaged, which raises errors of many kinds: begin anew
            done, chosen = learner.read(file)
            best = max(range(len(done)), key=lambda at: learner.merit(done[at]))
        while len(done) < epochs and len(done) <= best + patience:
            if launch:
                launch()
                return train_by_epochs(learner, file, rank=0)
            started = time.perf_counter()
            learned, validated = learner.run_epoch(len(done) + 1)
            if not np.isfinite([*learned, *validated]).all():
                raise WastebookError(f"The training of {learner.name} diverged: lower its learning rate.")
            done.append((*learned, *validated, time.perf_counter() - started))
            if len(done) == 1 or learner.merit(done[-1]) > learner.merit(done[best]):
                best, chosen = len(done) - 1, learner.weights()
            if rank:
                continue
            with atomic_write(file) as new:
                learner.write(new, done, chosen)
            told = "loss {:.3f}, accuracy {:.3f}; validation {:.3f}, accuracy {:.3f}; {:.1f} s"
            print(f"{learner.name}, epoch {len(done)} of {epochs}: {told.format(*done[-1])}", file=sys.stderr)
    return done, chosen


def within_memory(compute: Callable[[int], Result], at_once: int) -> Result:
    """`compute(at_once)`, a number of photos that is halved for as long as memory runs out."""
    while True:
        try:
            return compute(at_once)
        except Exception as error:  # the CPU's allocator raises none of its own kind
            if type(error).__name__ not in OUT_OF_MEMORY and "allocate memory" not in str(error):
                raise
            if at_once == 1:
                raise WastebookError("Not enough memory for one photo: lower image_size.") from error
        tried, at_once = at_once, (at_once + 1) // 2
        print(f"Out of memory with {tried} photos at once: going on with {at_once} photos.", file=sys.stderr)
