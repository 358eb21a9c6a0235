"""Models as ONNX: one file that a terminal, an app, a notebook and a browser all answer from.

The graph takes a photo as it was decoded and holds all the rest: resizing and normalising as in training, the
network, its head and the temperature. It also gives the evidence for each class: Grad-CAM (Selvaraju et al.
2017) of the last convolution, whose gradient under a mean and a linear layer is that layer's weight, so that
no framework is needed to see why.
"""

import json
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from wastebook.data.cards import Card
from wastebook.files import atomic_write
from wastebook.learning.predictions import Model

if TYPE_CHECKING:  # torch and TensorFlow, each imported where a model of it is exported, never both
    from wastebook.learning.features import Backbone
    from wastebook.learning.heads import Head

OPSET = 18  # the first in which Resize averages where it shrinks
SMALLEST_TENSOR = 20_000  # values; smaller ones stay in 32 bits: a tenth of all, and half of the error
BLOCK = 64  # input channels that share a scale in 8 bits
BLOCKED_OPSET, BLOCKED_IR = 21, 10  # the first in which scales may be shared so


def export_model(backbone: "Backbone", head: "Head", model: Model, card: Card, file: Path) -> None:
    """Keep a backbone of torch or Keras under a linear head as ONNX in `file`, and beside it (`-int8`) with
    its weights in 8 bits.

    In: `photo`, (H, W, 3) uint8 RGB, upright, of any size. Out: `probabilities`, (1, K) float32, calibrated,
    and, for a network that ends in the mean of its last maps, `evidence`, (1, K, h, w) float32, 0 or more.

    The file's metadata hold as JSON (`wastebook`) all that is told of the model: `name`, the columns of
    `model`, `image_size` (height, width), `classes`, `spanish`, `task`, `weights` (`name, weights, sha256,
    note`), `bits` and the `card`: `data` (`name, title, photos, fingerprint, drawn, task, source, licence,
    classes`), `scores`, `threshold` and the `temperature` that is put into the graph.
    """
    graph = _keras_graph(backbone) if backbone.mean is None else _torch_graph(backbone)
    _add_resizing(graph.graph, backbone.image_size)
    _add_head(graph.graph, head.weight, head.bias, card.get("temperature", 1.0))
    spanish = {entry["name"]: entry["spanish"] for entry in card["data"]["classes"]}
    facts: dict[str, Any] = model.columns | {
        "image_size": list(backbone.image_size),
        "classes": list(head.classes),
        "spanish": [spanish.get(label, label) for label in head.classes],
        "task": card["data"]["task"],
        "weights": {key: getattr(backbone, key) for key in ("name", "weights", "sha256", "note")},
        "card": card,
    }
    for bits, suffix in ((32, ""), (8, "-int8")):
        if bits == 8:
            _quantise_weights(graph)
        told = facts | {"name": f"{model.id}{suffix}", "bits": bits}
        helper.set_model_props(graph, {"wastebook": json.dumps(told, ensure_ascii=False)})
        onnx.checker.check_model(graph)
        with atomic_write(file.with_name(f"{file.stem}{suffix}.onnx")) as partial:
            partial.write_bytes(graph.SerializeToString())


def _torch_graph(backbone: Any) -> onnx.ModelProto:
    """A torch network from `pixels`, (1, 3, H, W) values 0-255, to its features, and before them the maps
    that they are the mean of, where they are."""
    import torch

    network, size = backbone.network, backbone.image_size
    mean, std = (torch.tensor(values).mul(255)[:, None, None] for values in (backbone.mean, backbone.std))

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            maps = self.network.forward_features((pixels.float() - mean) / std)
            features = self.network.forward_head(maps)
            return (features, maps) if mapped else (features,)

    with torch.inference_mode():
        maps = network.forward_features(torch.randn(1, 3, *size))
        pooled = network.forward_head(maps)
    mapped = maps.ndim == 4 and torch.allclose(maps.mean((2, 3)), pooled, rtol=1e-3, atol=1e-4)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have its other exporter, with more to install
        given, written = torch.zeros(1, 3, *size, dtype=torch.uint8), Path(folder, "network.onnx")
        names: Any = {"input_names": ["pixels"], "output_names": ["features", "maps"][: 1 + mapped]}
        torch.onnx.export(Whole().eval(), (given,), written, **names, opset_version=OPSET, dynamo=False)
        return onnx.load(written)


def _keras_graph(backbone: Any) -> onnx.ModelProto:
    """The same of a Keras network."""
    import tensorflow
    import tf2onnx

    from wastebook.learning.keras_networks import import_keras, inner_network, preprocess

    inner = inner_network(backbone)
    for layer in inner.layers:
        if type(layer).__name__ == "Normalization":  # tf2onnx takes its tensors for inputs of the graph
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    with_maps = import_keras().Model(inner.inputs, [inner.layers[-1].output, inner.layers[-2].output])

    def whole(pixels: Any) -> tuple[Any, Any]:
        features, maps = with_maps(preprocess(backbone.name, pixels), training=False)
        return features, tensorflow.transpose(maps, (0, 3, 1, 2))

    taken = tensorflow.TensorSpec((1, *backbone.image_size, 3), tensorflow.float32, name="pixels")
    model, _ = tf2onnx.convert.from_function(
        tensorflow.function(whole), [taken], opset=OPSET, inputs_as_nchw=["pixels"]
    )
    for output, name in zip(model.graph.output, ("features", "maps"), strict=True):
        model.graph.node.append(helper.make_node("Identity", [output.name], [name]))
        output.name = name
    return model


def _add_resizing(graph: onnx.GraphProto, image_size: tuple[int, int]) -> None:
    """Put before a graph, whose input is `pixels`, what makes them of a `photo` of any size."""
    kind = graph.input[0].type.tensor_type.elem_type
    how: Any = {"mode": "linear", "antialias": 1, "axes": [1, 2]}
    nodes = [
        helper.make_node("Transpose", ["photo"], ["channels_first"], perm=[2, 0, 1]),
        helper.make_node("Resize", ["channels_first", "", "", "size"], ["small"], **how),
        helper.make_node("Unsqueeze", ["small", "first_axis"], ["batch"]),
        helper.make_node("Cast", ["batch"], ["pixels"], to=kind),
    ]
    for node in reversed(nodes):
        graph.node.insert(0, node)
    graph.initializer.append(numpy_helper.from_array(np.array(image_size), "size"))
    graph.initializer.append(numpy_helper.from_array(np.array([0]), "first_axis"))
    photo = helper.make_tensor_value_info("photo", TensorProto.UINT8, ["height", "width", 3])
    graph.input[0].CopyFrom(photo)


def _add_head(graph: onnx.GraphProto, weight: np.ndarray, bias: np.ndarray, temperature: float) -> None:
    """Put behind a graph a linear layer, (K, D) and (K,), on its `features`, and on its `maps` where it has
    some."""
    constants = {"weight": weight / temperature, "bias": bias / temperature}
    for name, values in (constants | {"kernel": weight[:, :, None, None]}).items():
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), f"head.{name}"))
    given = ["features", "head.weight", "head.bias"]
    graph.node.append(helper.make_node("Gemm", given, ["logits"], transB=1))
    graph.node.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))
    shapes: dict[str, list[int | str]] = {"probabilities": [1, len(bias)]}
    if len(graph.output) == 2:
        graph.node.append(helper.make_node("Conv", ["maps", "head.kernel"], ["signed"]))
        graph.node.append(helper.make_node("Relu", ["signed"], ["evidence"]))
        shapes["evidence"] = [1, len(bias), "rows", "columns"]
    del graph.output[:]
    for name, shape in shapes.items():
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def _quantise_weights(model: onnx.ModelProto) -> None:
    """Put each large weight into 8 bits, symmetric, with a scale for each output channel and `BLOCK` inputs.

    Depthwise filters and the activations stay in 32: these networks (SiLU, squeeze-and-excitation) do not
    bear 8 there, by onnxruntime's static and dynamic quantisation alike.
    """
    graph = model.graph
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
        node = helper.make_node("DequantizeLinear", inputs, [weight.name], axis=1, block_size=BLOCK)
        graph.node.insert(0, node)
    model.opset_import[0].version, model.ir_version = BLOCKED_OPSET, BLOCKED_IR
