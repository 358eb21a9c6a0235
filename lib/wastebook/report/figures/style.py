"""How the book looks: one colour and marker a class and one a model, from this one place."""

import itertools

import matplotlib as mpl
import seaborn as sns

# Okabe and Ito (2008), safe for the colour-blind; black and yellow left out, grey for what is neither.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, AMBER, GREY = "#56B4E9", "#E69F00", "#7F7F7F"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDE = 8.0  # inches, the width of a page

CLASS_ORDER = ("cardboard", "glass", "metal", "paper", "plastic", "trash")
BINARY_ORDER = ("organic", "recyclable")
MODEL_ORDER = ("resnet18", "efficientnet_b0", "base_cnn", "optimised_cnn", "xception")


def set_up() -> None:
    """Set the figure defaults of the whole book (Quarto's own are not applied to executed notebooks)."""
    sns.set_theme(style="whitegrid", context="notebook", palette=list(COLOURS))
    mpl.rcParams |= {
        "figure.figsize": (WIDE, 4.5),
        "figure.dpi": 96,
        "figure.constrained_layout.use": True,
        "axes.titlelocation": "left",
        "axes.titlesize": "medium",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "font.family": "DejaVu Sans",
    }


def class_styles(classes: list[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each class, the same wherever the class is drawn."""
    return _styles(classes, CLASS_ORDER if set(classes) & set(CLASS_ORDER) else BINARY_ORDER)


def model_styles(models: list[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each model; its variants take their model's colour."""
    bases = list(dict.fromkeys(model.split("+")[0].split("-")[0] for model in models))
    of_base = _styles(bases, MODEL_ORDER)
    markers = itertools.cycle(MARKERS)
    return {model: (of_base[model.split("+")[0].split("-")[0]][0], next(markers)) for model in models}


def _styles(names: list[str], order: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    others = [name for name in names if name not in order]
    looks = itertools.cycle(zip(COLOURS, MARKERS, strict=True))
    look_of = dict(zip([*order, *others], looks, strict=False))
    return {name: look_of[name] for name in names}
