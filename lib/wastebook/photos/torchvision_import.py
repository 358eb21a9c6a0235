"""Imported before torchvision and timm: mends their import beside a CPU build of torch, and halves its time.

The package index's torchvision is built for the CUDA torch; beside another its operators do not load, and its
import fails because two of them, which this book never calls, are not declared. And both would load torch's
compiler, three seconds of every start, only to tell it what to leave alone: nothing is compiled here."""

import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import torch

with suppress(OSError):
    for file in sorted(Path(find_spec("torchvision").origin).parent.glob("_C.*")):  # type: ignore
        torch.ops.load_library(file)
if not hasattr(torch.ops.torchvision, "nms"):
    LIBRARY = torch.library.Library("torchvision", "DEF")  # kept: the declarations go when the object does
    for operator in ("nms", "qnms"):
        LIBRARY.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

STAND_IN = SimpleNamespace(is_compile_supported=bool, disable=lambda function, *_, **__: function)
COMPILER = {"torch._dynamo", "torch._dynamo.utils"} - {*sys.modules}
sys.modules |= dict.fromkeys(COMPILER, STAND_IN)  # type: ignore[arg-type]
import_module("timm")
for name in COMPILER:
    del sys.modules[name]
