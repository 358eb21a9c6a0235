"""Models as ONNX: one file that a terminal, an app, a notebook and a browser all answer from.

The graph takes a photo as it was decoded and holds all the rest: resizing and normalising as in training,
the network, its head and the temperature. It also gives the evidence for each class: Grad-CAM (Selvaraju et
al. 2017) of the last convolution, whose gradient under a mean and a linear layer is that layer's weight, so
that no framework is needed to see why.
"""

import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from wastebook.data import load_cards
from wastebook.files import atomic_write

if TYPE_CHECKING:  # torch is imported where a model of it is exported, and not beside TensorFlow
    from wastebook.learning.models import Model

OPSET = 18  # the first in which Resize averages where it shrinks
SMALLEST_TENSOR = 20_000  # values; smaller ones stay in 32 bits: a tenth of all, and half of the error
BLOCK = 64  # input channels that share a scale in 8 bits
BLOCKED_OPSET, BLOCKED_IR = 21, 10  # the first in which scales may be shared so


def export_model(model: "Model", file: Path) -> None:
    """Keep a torch model as ONNX in `file`, and beside it (`-int8`) with its weights in 8 bits.

    In: `photo`, (H, W, 3) uint8 RGB, upright, of any size. Out: `probabilities`, (1, K) float32, calibrated,
    and, for a network that ends in the mean of its last maps, `evidence`, (1, K, h, w) float32, 0 or more.
    What the model is called, its classes and its card lie in the file's metadata (`wastebook`) as JSON.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    height, width = model.backbone.image_size
    network = model.backbone.network
    weight, bias = torch.from_numpy(model.head.weight), torch.from_numpy(model.head.bias)
    mean, std = (torch.tensor(values).mul(255)[:, None, None] for values in model.backbone[3:5])
    with torch.inference_mode():
        probe = network.forward_features(torch.randn(1, 3, height, width))  # type: ignore[operator]
        pooled = network.forward_head(probe)  # type: ignore[operator]
        mapped = probe.ndim == 4 and torch.allclose(probe.mean((2, 3)), pooled, rtol=1e-3, atol=1e-4)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            maps = self.network.forward_features((pixels.float() - mean) / std)  # type: ignore[operator]
            logits = functional.linear(self.network.forward_head(maps), weight, bias)  # type: ignore[operator]
            probabilities = (logits / model.card.get("temperature", 1.0)).softmax(1)
            if not mapped:
                return (probabilities,)
            return probabilities, functional.conv2d(maps, weight[:, :, None, None]).relu()

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        written = Path(folder) / "network.onnx"
        warnings.simplefilter("ignore")  # torch would rather have its other exporter, with more to install
        torch.onnx.export(
            Whole().eval(),
            (torch.zeros(1, 3, height, width, dtype=torch.uint8),),
            written,
            input_names=["pixels"],
            output_names=["probabilities", "evidence"][: 1 + mapped],
            opset_version=OPSET,
            dynamo=False,
        )
        graph = onnx.load(written)
    resizing = [
        helper.make_node("Transpose", ["photo"], ["channels_first"], perm=[2, 0, 1]),
        helper.make_node(
            "Resize", ["channels_first", "", "", "size"], ["small"], mode="linear", antialias=1, axes=[1, 2]
        ),
        helper.make_node("Unsqueeze", ["small", "first_axis"], ["pixels"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([height, width]), "size"),
        numpy_helper.from_array(np.array([0]), "first_axis"),
    ]
    facts: dict[str, Any] = {"name": model.name, "classes": model.head.classes, "card": model.card}
    facts |= {"image_size": [height, width], "resizing": "antialiased", "weights": weights_of(model.backbone)}
    keep_graph(graph, resizing, constants, file, facts)


def weights_of(backbone: Any) -> dict[str, str]:
    """Where a backbone's weights come from, and what a reader should know of them."""
    return {"name": backbone.name, "weights": backbone.weights, "note": backbone.note}


def keep_graph(
    model: onnx.ModelProto,
    resizing: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto],
    file: Path,
    facts: Mapping[str, Any],
) -> None:
    """Keep an exported network, whose input is `pixels`, in 32 bits and in 8, with `resizing` (nodes from
    `photo` to `pixels`, and their `constants`) before it. `facts`: `name, classes, card, image_size,
    resizing, weights`."""
    graph = model.graph
    network = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*resizing, *network])
    graph.input.append(helper.make_tensor_value_info("photo", TensorProto.UINT8, ["height", "width", 3]))
    graph.initializer.extend(constants)
    about = load_cards().get(facts["card"]["data"]["name"], {})
    spanish = {entry["name"]: entry["spanish"] for entry in about.get("classes", [])}
    told = {"task": about.get("task", "Which class is it?"), **facts}
    told["spanish"] = [spanish.get(label, label) for label in facts["classes"]]
    for bits, suffix in ((32, ""), (8, "-int8")):
        if bits == 8:
            _quantise_weights(model)
        named = told | {"name": f"{facts['name']}{suffix}", "bits": bits}
        helper.set_model_props(model, {"wastebook": json.dumps(named, ensure_ascii=False)})
        onnx.checker.check_model(model)
        with atomic_write(file.with_name(f"{file.stem}{suffix}.onnx")) as partial:
            partial.write_bytes(model.SerializeToString())


def _quantise_weights(model: onnx.ModelProto) -> None:
    """Put each large weight into 8 bits, symmetric, with a scale for each output channel and `BLOCK` inputs.

    Depthwise filters and the activations stay in 32: these networks (SiLU, squeeze-and-excitation) do not
    bear 8 there, by onnxruntime's static and dynamic quantisation alike.
    """
    graph, nodes = model.graph, []
    for weight in list(graph.initializer):
        values = numpy_helper.to_array(weight)
        depthwise = values.ndim == 4 and values.shape[1] == 1
        if values.dtype != np.float32 or values.ndim < 2 or values.size < SMALLEST_TENSOR or depthwise:
            continue
        starts = np.arange(0, values.shape[1], BLOCK)
        scale = np.maximum.reduceat(np.abs(values), starts, axis=1) / 127 + 1e-12
        spread = np.repeat(scale, BLOCK, axis=1)[:, : values.shape[1]]
        graph.initializer.remove(weight)
        for part, tensor in (("8", np.round(values / spread).astype(np.int8)), ("scale", scale)):
            graph.initializer.append(numpy_helper.from_array(tensor, f"{weight.name}.{part}"))
        inputs = [f"{weight.name}.8", f"{weight.name}.scale"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [weight.name], axis=1, block_size=BLOCK))
    network = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *network])
    model.opset_import[0].version, model.ir_version = BLOCKED_OPSET, BLOCKED_IR
