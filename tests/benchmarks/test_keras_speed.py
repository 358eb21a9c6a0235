"""How fast Keras' side is, as ratios measured on one machine in one run, in a process without torch:
`pytest -m benchmark -s tests/benchmarks/test_keras_speed.py`.

On the Waste Classification data where it is at hand, else on the sample; leave the machine otherwise idle.
"""

import os

import numpy as np
import pytest

from wastebook.data.datasets import open_dataset
from wastebook.data.splits import split_photos
from wastebook.learning.predictions import class_numbers

pytestmark = pytest.mark.benchmark

IMAGE_SIZE, BATCH_SIZE = 224, 32


def test_the_input_pipeline_keeps_up_with_training(cache, race):
    """An epoch of the optimised CNN from decoded photos on disk, shuffled, at nine tenths or more of the same
    number of steps on one batch in memory."""
    from wastebook.learning import keras_networks, keras_training

    dataset = open_dataset("waste-classification" if os.environ.get("WASTEBOOK_DATA") else "sample-binary")
    photos = split_photos(dataset.photos, "official", seed=0)
    photos = photos[photos["split"] == "train"].head(40 * BATCH_SIZE).reset_index(drop=True)
    photos = photos.head(len(photos) // BATCH_SIZE * BATCH_SIZE)
    targets = class_numbers(photos["label"], dataset.classes).astype(np.float32)[:, None]
    pixels = keras_training.decode_once(photos, dataset.root, IMAGE_SIZE)
    network = keras_networks.build_cnn("optimised_cnn", IMAGE_SIZE)
    held = np.array(pixels[:BATCH_SIZE]), targets[:BATCH_SIZE]
    recipe = keras_training.KerasRecipe(1, batch_size=BATCH_SIZE)
    learner = keras_training._Learner(network, pixels, targets, photos["split"].to_numpy(), recipe)
    steps = len(photos) // BATCH_SIZE

    def epoch_of(batches) -> None:
        network.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)

    def from_memory(_) -> None:
        epoch_of(held for _ in range(steps))  # Keras takes a generator, no other iterator

    def from_disk(_) -> None:
        epoch_of(learner.batches("train", 1)[0])

    what, same = f"optimised CNN at {IMAGE_SIZE} pixels: an epoch from disk", "the same batch from memory"
    race(what, from_disk, same, from_memory, len(photos), "photos", 0.9)
