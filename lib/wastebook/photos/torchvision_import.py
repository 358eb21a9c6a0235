"""Imported before torchvision (and so before timm): mends its import beside a CPU build of torch.

The package index's torchvision for Linux is built for the CUDA torch. Beside a CPU torch its compiled
operators do not load, and the import fails because two of them are not declared. Declaring them is enough for
all that this book uses; calling them (non-maximum suppression of boxes) would still fail.
"""

from importlib.util import find_spec
from pathlib import Path

import torch


def _compiled_operators_load() -> bool:
    """Whether torchvision's compiled operators, which declare themselves, load beside this torch."""
    package = find_spec("torchvision")
    if package is None or package.origin is None:
        return False
    for file in sorted(Path(package.origin).parent.glob("_C.*")):
        try:
            torch.ops.load_library(file)
        except OSError:
            return False
    return hasattr(torch.ops.torchvision, "nms")


if not _compiled_operators_load():
    # Kept in a module global: the declarations go when the object does.
    LIBRARY = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        LIBRARY.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
