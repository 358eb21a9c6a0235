"""Imported before torchvision (and so before timm): mends its import beside a CPU build of torch.

The package index's is built for the CUDA torch; beside another its operators do not load, and its import
fails because two of them, which this book never calls, are not declared."""

from importlib.util import find_spec
from pathlib import Path

import torch

try:
    for file in sorted(Path(find_spec("torchvision").origin).parent.glob("_C.*")):  # type: ignore
        torch.ops.load_library(file)
except OSError:
    pass
if not hasattr(torch.ops.torchvision, "nms"):
    LIBRARY = torch.library.Library("torchvision", "DEF")  # kept: the declarations go when the object does
    for operator in ("nms", "qnms"):
        LIBRARY.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
