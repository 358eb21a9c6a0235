"""What a network is made of, stage by stage, and what it costs on this machine."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from wastebook.learning.backbones import prepare_forward
from wastebook.learning.features import BATCH_SIZE, Backbone, time_forward

MODULES = ["module", "kind", "channels", "height", "width", "parameters", "state"]


def list_modules(backbone: Backbone, class_count: int) -> pd.DataFrame:
    """A row per stage of the network, from the photo to the new head of `class_count` outputs.

    `module` (its name), `kind` (what it is, in words), `channels, height, width` of what it gives (1 x 1 once
    pooled), `parameters`, `state` (of a frozen backbone only the head learns). Layers that only normalise or
    activate are counted with the stage before them.
    """
    names = {module: name for name, module in _stages(backbone.network).items()}
    shapes: dict[nn.Module, torch.Size] = {}

    def watch(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        if module in names:
            shapes[module] = output.shape

    with nn.modules.module.register_module_forward_hook(watch), torch.inference_mode():
        backbone.network(torch.zeros(1, 3, *backbone.image_size))
    rows: list[list[Any]] = [["photo", "", 3, *backbone.image_size, 0, "given"]]
    for module, shape in shapes.items():
        parameters, blocks = sum(tensor.numel() for tensor in module.parameters()), len([*module.children()])
        convolves, size = [isinstance(part, nn.Conv2d) for part in module.modules()], [*shape[1:], 1, 1][:3]
        kind = "convolution" if convolves[0] else f"{blocks} block{'s' * (blocks > 1)}"
        if not any(convolves) and rows[-1][2:5] == size:
            rows[-1][5] += parameters
        else:
            rows.append([names[module], kind if any(convolves) else "pooling", *size, parameters, "frozen"])
    weights = (backbone.feature_width + 1) * class_count
    rows.append(["head", f"{class_count} classes", class_count, 1, 1, weights, "learns"])
    return pd.DataFrame(rows, columns=MODULES)


def _stages(network: nn.Module) -> dict[str, nn.Module]:
    """The network's own children, by name; a chain of chains (EfficientNet's blocks) link by link."""
    stages: dict[str, nn.Module] = {}
    for name, child in network.named_children():
        links = dict(child.named_children())
        chain = links and all(isinstance(link, nn.Sequential) for link in links.values())
        stages |= {f"{name}.{number}": link for number, link in links.items()} if chain else {name: child}
    return stages


def measure_cost(backbone: Backbone, class_count: int) -> pd.DataFrame:
    """One row: `network, image_size` as in a `Model`, `parameters` and `multiply_adds` (per photo; both with
    a linear head of `class_count` outputs), `depth` (convolutions and linear layers in a row, shortcuts left
    out), `feature_width, megabytes` (weights in fp32), `milliseconds` (per photo, in batches)."""
    network, width = backbone.network, backbone.feature_width
    parameters = sum(parameter.numel() for parameter in network.parameters()) + (width + 1) * class_count
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, *backbone.image_size))
    weighted = [name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    _, forward = prepare_forward(backbone)
    pixels = np.zeros((BATCH_SIZE, *backbone.image_size, 3), dtype=np.uint8)
    row = {
        "network": backbone.name,
        "image_size": "x".join(map(str, backbone.image_size)),
        "parameters": parameters,
        "multiply_adds": counter.get_total_flops() // 2 + width * class_count,
        "depth": 1 + sum("downsample" not in name and "shortcut" not in name for name in weighted),
        "feature_width": width,
        "megabytes": parameters * 4 / 1e6,
        "milliseconds": time_forward(forward, pixels),
    }
    return pd.DataFrame([row])
