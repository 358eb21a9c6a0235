"""What a model costs beside how good it is: counted and timed on this machine, not quoted."""

import time

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from wastebook.learning.backbones import Backbone
from wastebook.learning.features import BATCH_SIZE, accelerator, for_inference, forward, use_bf16

ROUNDS = 3  # of which the median is taken


def measure_cost(backbone: Backbone, class_count: int, precision: str = "auto") -> pd.DataFrame:
    """One row: `model, image_size` (text), `parameters` and `multiply_adds` (a photo; both with a linear head
    of `class_count` outputs), `depth` (convolutions and linear layers in a row, without those on shortcuts),
    `feature_width, megabytes` (weights in fp32), `milliseconds` (a photo, in batches as features are
    extracted)."""
    network = backbone.network
    head = backbone.feature_width * class_count
    height, width = backbone.image_size
    parameters = sum(parameter.numel() for parameter in network.parameters()) + head + class_count
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, height, width))
    weighted = [name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    depth = 1 + sum("downsample" not in name and "shortcut" not in name for name in weighted)
    device = accelerator()
    fast, bf16 = for_inference(backbone).to(device), use_bf16(precision, device)
    pixels = np.zeros((BATCH_SIZE, height, width, 3), dtype=np.uint8)
    seconds = []
    for _ in range(ROUNDS + 1):  # the first, a warm-up, is left out
        started = time.perf_counter()
        forward(fast, backbone, pixels, device, bf16)
        seconds.append(time.perf_counter() - started)
    row = {
        "model": backbone.name,
        "image_size": f"{height} x {width}",
        "parameters": parameters,
        "multiply_adds": counter.get_total_flops() // 2 + head,
        "depth": depth,
        "feature_width": backbone.feature_width,
        "megabytes": parameters * 4 / 1e6,
        "milliseconds": 1000 * float(np.median(seconds[1:])) / BATCH_SIZE,
    }
    return pd.DataFrame([row])
