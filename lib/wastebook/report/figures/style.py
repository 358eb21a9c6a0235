"""How the book looks, from one place: colours, shapes, and room and letters for whatever names there are."""

import textwrap
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.registry import BackendFilter, backend_registry
from matplotlib.category import StrCategoryFormatter
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, findSystemFonts, fontManager, get_font
from matplotlib.text import Text

# Okabe and Ito (2008), safe for the colour-blind; black and yellow left out, grey for what is neither.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#56B4E9", "#E69F00", "#7F7F7F")
GREY, INK = COLOURS[-1], "#333333"  # ink: of what is no network's
TONES = "dark:#BBBBBB_r"  # greys, light to dark, of what is neither class nor network: stages, splits
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# A dozen of each, no two alike: the rest of the colours are of Tol's muted scheme.
CLASS_COLOURS = (*COLOURS, "#332288", "#882255", "#999933", "#661100", "#DDCC77")
CLASS_MARKERS = (*MARKERS, "p", "<", "*", ">", "h")
HUES = tuple(colour for colour in CLASS_COLOURS if colour != GREY)
LINE = 0.2  # inches that a name on an axis takes
FONT = "DejaVu Sans"  # matplotlib brings it along
WIDE, NARROW = 8.0, 2.0  # inches, the width of a page, and that of a panel with room for few numbers
SHARES = ("accuracy", "confidence", "recognised", "right", "share")  # what begins so is told in percent
SLIDE = (1152, 452)  # pixels of a slide that a figure may take
CLASS_ORDER = ("cardboard", "glass", "metal", "paper", "plastic", "trash")
BINARY_ORDER = ("organic", "recyclable")
NETWORK_ORDER = ("resnet18", "efficientnet_b0", "base_cnn", "optimised_cnn", "xception")
STAND_INS = ("mobilenetv2_100", "tf_efficientnet_lite0")
SCHEME_ORDER = ("grouped", "official", "random", "published", "clean")


def set_up() -> None:
    """Set the figure defaults of the whole book, whatever a user's matplotlibrc says (Quarto's own are not
    applied to executed notebooks). No layout engine: seaborn's grids bring their own and warn of another."""
    mpl.rcdefaults()
    if mpl.get_backend(auto_select=False) in backend_registry.list_builtin(BackendFilter.INTERACTIVE):
        mpl.use("agg")  # no window is wanted, and many machines have no screen
    look = {"figure.figsize": (WIDE, 4.5), "figure.dpi": 96, "legend.frameon": False}
    look |= {"axes.titlelocation": "left", "axes.titlesize": "medium", "font.family": [FONT]}
    look |= {"axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False}  # $ is a dollar
    sns.set_theme(style="whitegrid", palette=list(COLOURS), rc=look)


def class_styles(classes: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The colours and the markers of classes, by name, the same wherever a class is drawn."""
    find_letters("".join(classes))
    order = CLASS_ORDER if set(classes) & set(CLASS_ORDER) else BINARY_ORDER
    markers = [CLASS_MARKERS[(place + place // 12) % 12] for place in range(144)]  # each dozen begins one on
    return in_turn(classes, CLASS_COLOURS, order), in_turn(classes, markers, order)


def in_turn(names: Iterable, looks: Sequence[str] = COLOURS, known: Iterable = ()) -> dict[str, str]:
    """A look per name, the same wherever it is drawn for those that are `known`."""
    places = {name: place for place, name in enumerate(dict.fromkeys([*known, *names]))}
    return {name: looks[places[name] % len(looks)] for name in names}


def network_colours(networks: Iterable[str]) -> dict[str, str]:
    """A colour per network; those unknown to the book come last."""
    return in_turn(sorted({*networks}), HUES, [*NETWORK_ORDER, *STAND_INS])


def line_styles(table: pd.DataFrame, by: str = "model") -> tuple[dict[str, str], dict[str, Any]]:
    """The colours and the dashes of lines, one per value of the column `by`: each in its network's colour, or
    in ink where the table has no networks, and lines of one colour told apart by their dashes."""
    lines = table.drop_duplicates(by).set_index(by)
    networks = lines.get("network", pd.Series("", index=lines.index))
    known = network_colours(networks) | {"": INK}
    places = networks.groupby(networks).cumcount()
    colours = {str(line): known[network] for line, network in networks.items()}
    return colours, {str(line): DASHES[place % len(DASHES)] for line, place in places.items()}


def scheme_markers(schemes: Iterable[str]) -> dict[str, str]:
    """A marker per split scheme, or other way of scoring; of what is neither the first ones."""
    return in_turn(schemes, MARKERS, SCHEME_ORDER if {*schemes} & {*SCHEME_ORDER} else ())


def shorten(names: Iterable[Any], longest: int = 20) -> list[str]:
    """Names for an axis: the middle of a long one cut out; those that then look alike are numbered."""
    texts = list(dict.fromkeys(map(str, names)))
    cuts = [_cut(text, longest) for text in texts]
    alike = (f" ({cuts[: at + 1].count(cut)})" * (cuts.count(cut) > 1) for at, cut in enumerate(cuts))
    shown = {text: cut + number for text, cut, number in zip(texts, cuts, alike, strict=True)}
    find_letters("".join(shown))
    return [shown[str(name)] for name in names]


def wrap(text: Any, width: int) -> str:
    """A text in at most three lines of about `width` letters, the middle of a longer one cut out."""
    find_letters(str(text))
    return textwrap.fill(_cut(str(text), 5 * width // 2), width)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[-(longest // 2) :]}"


def find_letters(text: str) -> str:
    """Have figures draw what their font lacks of a text by others of this machine; gives what none has."""
    lacking, families = {ord(letter) for letter in text if letter.isprintable()}, mpl.rcParams["font.family"]
    lacking -= {*range(128)}.union(*(_letters(findfont(FontProperties(family=[one]))) for one in families))
    for file in {*findSystemFonts()} - {font.fname for font in fontManager.ttflist} if lacking else ():
        fontManager.addfont(file)  # it came after matplotlib listed the fonts
    for font in sorted(fontManager.ttflist, key=lambda font: "Sans" not in font.name) if lacking else ():
        if found := lacking & _letters(font.fname):
            families.append(font.name)
            lacking -= found
    return "".join(map(chr, sorted(lacking)))


@cache
def _letters(file: str) -> set[int]:
    """The letters that a font draws; none of one that is broken, of coloured pictures only, or all boxes."""
    with suppress(OSError, RuntimeError):
        font = get_font(file)
        if font.scalable and "lastresort" not in font.family_name.replace(" ", "").lower():
            return {*font.get_charmap()}
    return set()


def _number_logarithms(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis, two at least, where matplotlib's own are formulas."""
    narrow = axis.axes.bbox.width < NARROW * axis.axes.figure.dpi
    ways = ticker.LogLocator(10, (1, 2, 5), numticks=6), ticker.LogLocator(numticks=3), ticker.MaxNLocator(3)
    for way in ways[int(narrow) :]:  # the first has none over many powers of ten, the second few within one
        axis.set_major_locator(way)
        if np.ptp(np.searchsorted(axis.get_majorticklocs(), axis.get_view_interval())) > 1:
            break
    axis.set_major_formatter(ticker.StrMethodFormatter("{x:,.6g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def make_room(figure: Figure) -> str:
    """Ready a figure for any names and numbers: long ones shortened, it higher where an axis has many, shares
    in percent. Gives the letters that no font of this machine has."""
    growth, room, titles = 1.0, WIDE, []
    for axes in figure.axes:
        width, height = figure.get_size_inches() * axes.get_position().size
        for axis in (axes.xaxis, axes.yaxis):
            labels = [label.get_text() for label in axis.get_ticklabels()]
            if isinstance(axis.get_major_formatter(), (StrCategoryFormatter, ticker.FixedFormatter)):
                axis.set_ticks(axis.get_ticklocs(), shorten(labels, 40))
            elif isinstance(axis.get_major_formatter(), ticker.LogFormatter):
                _number_logarithms(axis)
            elif axis.isDefault_majfmt and _shown_on(axis).startswith(SHARES):
                axis.set_major_formatter(lambda share, place: f"{100 * share:.3g}\u202f%")
        growth = max(growth, len(labels) * LINE / height)
        found = [text for text in axes.get_children() if isinstance(text, Text) and text.get_text()]
        titles += found
        room = min(room, width) if found else room
    for texts, width in [(titles, int(11 * room)), *((legend.get_texts(), 40) for legend in figure.legends)]:
        cuts = shorten([text.get_text() for text in texts], 5 * width // 2)
        for text, short in zip(texts, cuts, strict=True):
            text.set_text("\n".join(textwrap.fill(line, width) for line in short.split("\n")))
    figure.set_figheight(growth * figure.get_figheight())
    if not figure.get_constrained_layout() and any("\n" in title.get_text() for title in titles):
        figure.tight_layout(rect=(0, 0, figure.subplotpars.right, 1))  # seaborn's legend stays beside it
    for text in (texts := figure.findobj(Text)):
        if text.get_fontfamily() == [FONT]:
            text.set_fontfamily(mpl.rcParams["font.family"])
    return find_letters("".join(text.get_text() for text in texts))


def _shown_on(axis: Axis) -> str:
    """What an axis shows, by its own name, else the figure's, else its panel's."""
    shared = axis.axes.figure.get_supylabel() if axis is axis.axes.yaxis else ""
    return axis.get_label_text() or shared or axis.axes.get_title("left") or axis.axes.get_title()


def panels(count: int, across: int, size: tuple[float, float], **shared: Any) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels of `size` (width and height in inches), at most `across` in a row."""
    down = -(-count // across)
    across = -(-count // down)  # rows alike
    shared |= {"figsize": (size[0] * across, size[1] * down), "squeeze": False, "layout": "constrained"}
    figure, grid = plt.subplots(down, across, **shared)
    for axes in grid.flat[count:]:
        axes.remove()
    for axes in grid.flat[:count]:
        axes.locator_params(axis="x", nbins=max(3, int(1.3 * size[0])))  # more would overlap
    for axes in grid.flat[count - across : count]:
        axes.xaxis.set_tick_params(labelbottom=True)
    return figure, list(grid.flat[:count])


def legend(figure: Figure, handles: Sequence[Any], names: Iterable[str]) -> None:
    """A legend below the panels, where it hides nothing, in as many columns as its longest name leaves; the
    figure grows by its height."""
    texts = [wrap(name, 80) for name in names]
    columns = max(1, min(len(texts), int(12 * figure.get_figwidth()) // (max(map(len, texts)) + 7)))
    figure.legend(handles, texts, loc="outside lower center", ncols=columns, fontsize=9, handlelength=3)
    figure.set_figheight(figure.get_figheight() + 0.2 * -(-len(texts) // columns))


def name_lines(figure: Figure, axes: Axes | None, lines: Sequence[Any], names: Sequence[str]) -> None:
    """Name lines, where they are several: at their ends in `axes`, each in its colour and none over another,
    if they are few and their names short; else in a legend."""
    if len(names) > 1 and (axes is None or len(names) > 4 or max(map(len, names)) > 30):
        legend(figure, lines, names)
    elif len(names) > 1 and axes:
        place, gap = np.inf, 0.07 * np.ptp(axes.get_ylim())
        look: Any = {"va": "center", "fontsize": 9, "textcoords": "offset points", "annotation_clip": False}
        look["bbox"] = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0}
        for line, name in sorted(zip(lines, names, strict=True), key=lambda end: -end[0].get_ydata()[-1]):
            (x, y), look["color"] = line.get_xydata()[-1], line.get_color()
            place = min(place - gap, y)
            axes.annotate(name, (x, place), (6, 0), **look)


def nothing() -> Figure:
    """What stands for a figure of an empty table."""
    figure = plt.figure(figsize=(WIDE, 0.6))
    figure.text(0, 0.5, "There are none.", va="center")
    return figure


def enlarged(figure: Figure, width: int = SLIDE[0]) -> Figure:
    """The figure for a slide: `width` pixels wide and as high as it has room for, larger; pictures whole."""
    most = SLIDE[1] / figure.get_figheight() if any(len(axes.images) > 1 for axes in figure.axes) else np.inf
    figure.set_dpi(min(1.5 * figure.dpi, most))
    figure.set_size_inches(width / figure.dpi, SLIDE[1] / figure.dpi)
    return figure
