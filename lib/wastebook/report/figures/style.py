"""How the book looks: a colour per class and per network, a marker per split scheme, from this one place."""

import itertools
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

# Okabe and Ito (2008), safe for the colour-blind; black and yellow left out, grey for what is neither.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#56B4E9", "#E69F00", "#7F7F7F")
GREY = COLOURS[-1]
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDE = 8.0  # inches, the width of a page
SLIDE = (1152, 452)  # pixels of a slide that a figure may take
LARGER, LEAST = 1.45, 14.0  # how much larger letters are on a slide than on a page, and their least points
CLASS_ORDER = ("cardboard", "glass", "metal", "paper", "plastic", "trash")
BINARY_ORDER = ("organic", "recyclable")
NETWORK_ORDER = ("resnet18", "efficientnet_b0", "base_cnn", "optimised_cnn", "xception")
SCHEME_ORDER = ("grouped", "official", "random", "published", "clean")


def set_up() -> None:
    """Set the figure defaults of the whole book (Quarto's own are not applied to executed notebooks). No
    layout engine is set: seaborn's grids bring their own and warn of another."""
    look = {"figure.figsize": (WIDE, 4.5), "figure.dpi": 96, "legend.frameon": False}
    look |= {"axes.titlelocation": "left", "axes.titlesize": "medium", "font.family": "DejaVu Sans"}
    sns.set_theme(style="whitegrid", palette=list(COLOURS), rc=look)
    mpl.rcParams |= {"axes.spines.top": False, "axes.spines.right": False}


def class_styles(classes: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The colours and the markers of classes, by name, the same wherever a class is drawn."""
    order = CLASS_ORDER if set(classes) & set(CLASS_ORDER) else BINARY_ORDER
    names = [*order, *(name for name in classes if name not in order)]
    places = {name: names.index(name) for name in classes}
    colours = {name: COLOURS[place % 7] for name, place in places.items()}
    return colours, {name: MARKERS[(place + place // 7) % 7] for name, place in places.items()}


def network_colours(networks: Iterable[str]) -> dict[str, str]:
    """A colour per network, the same wherever it is drawn; one unknown to the book takes a free one."""
    known = dict(zip(NETWORK_ORDER, COLOURS, strict=False))
    colours = {name: known[name] for name in networks if name in known}
    for name in networks:
        first = crc32(name.encode()) % 7
        turned = COLOURS[first:] + COLOURS[:first]
        free = [colour for colour in turned if colour not in colours.values()]
        colours.setdefault(name, (free or turned)[0])
    return colours


def model_styles(table: pd.DataFrame) -> tuple[dict[str, str], dict[str, str]]:
    """The colours and the markers of a table's models: the first of a network has the network's colour, its
    others have free ones, so that their lines can be told apart."""
    models = table.drop_duplicates("model")
    known, repeated = network_colours(models["network"]), models["network"].duplicated()
    free = itertools.cycle([colour for colour in COLOURS if colour not in known.values()] or COLOURS)
    rows = zip(models["model"], models["network"], repeated, strict=True)
    colours = {model: next(free) if again else known[network] for model, network, again in rows}
    return colours, dict(zip(colours, itertools.cycle(MARKERS), strict=False))


def scheme_markers(schemes: Iterable[str]) -> dict[str, str]:
    """A marker per split scheme (or other way of scoring), the same wherever it is drawn."""
    places = {name: place for place, name in enumerate(dict.fromkeys([*SCHEME_ORDER, *schemes]))}
    return {scheme: MARKERS[places[scheme] % 7] for scheme in schemes}


def shorten(name: Any, longest: int = 20) -> str:
    """A name for an axis: the middle of a long one cut out, dollars not read as formulas."""
    text, half = str(name), longest // 2
    return (text if len(text) <= longest else f"{text[:half]}…{text[-half:]}").replace("$", r"\$")


def wrap(text: Any, width: int) -> str:
    """A text in at most three lines of `width` letters, dollars not read as formulas."""
    lines = textwrap.wrap(str(text), width, max_lines=3, placeholder="…")
    return "\n".join(lines).replace("$", r"\$")


def panels(count: int, across: int, size: tuple[float, float], **shared: Any) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels of `size` (width and height in inches), at most `across` in a row."""
    across = min(count, across)
    down = -(-count // across)
    shared |= {"figsize": (size[0] * across, size[1] * down), "squeeze": False, "layout": "constrained"}
    figure, grid = plt.subplots(down, across, **shared)
    for axes in grid.flat[count:]:
        axes.remove()
    for axes in grid.flat[count - across : count]:
        axes.xaxis.set_tick_params(labelbottom=True)
    return figure, list(grid.flat[:count])


def legend(figure: Figure, handles: Sequence[Any], names: Iterable[str]) -> None:
    """A legend below the panels, where it hides nothing, in as many columns as its longest name leaves; the
    figure grows by its height."""
    texts = [wrap(name, 80) for name in names]
    columns = max(1, min(len(texts), int(12 * figure.get_figwidth()) // (max(map(len, texts)) + 7)))
    figure.legend(handles, texts, loc="outside lower center", ncols=columns, fontsize=9)
    figure.set_figheight(figure.get_figheight() + 0.2 * -(-len(texts) // columns))


def nothing() -> Figure:
    """What stands for a figure of an empty table."""
    figure = plt.figure(figsize=(WIDE, 0.6))
    figure.text(0, 0.5, "There are none.", va="center")
    return figure


def enlarged(figure: Figure, width: int = SLIDE[0]) -> Figure:
    """The figure made for the back row: `width` pixels wide and as high as a slide has room for, its letters,
    lines and marks larger."""
    figure.set_size_inches(width / figure.dpi, SLIDE[1] / figure.dpi)
    sizes = {text: max(LEAST, LARGER * float(text.get_fontsize())) for text in figure.findobj(Text)}
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if labels := axis.get_ticklabels():
            axis.set_tick_params(labelsize=sizes.get(labels[0], LEAST))  # for ticks to come as well
    for text, size in sizes.items():
        text.set_fontsize(size)
    for line in figure.findobj(Line2D):
        line.set(linewidth=LARGER * line.get_linewidth(), markersize=LARGER * line.get_markersize())
    return figure
