"""Names in figures, whatever they are: their letters found or said to be missing, no dollar a formula, long
ones told apart, room for all of them; and a user's own settings of Matplotlib change nothing."""

import itertools
import os
import subprocess
import sys
import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from matplotlib import font_manager

from wastebook.learning.predictions import Model
from wastebook.report import chapter as chapters
from wastebook.report import figures
from wastebook.report.figures import style

MODEL = Model("resnet18", "64x64")
SCRIPTS = {
    "Chinese": ["纸板", "玻璃", "其他垃圾"],
    "Korean": ["유리", "종이"],
    "Hindi": ["काँच", "धातु"],
    "Arabic": ["زجاج", "معدن"],
    "Thai": ["แก้ว", "กระดาษ"],
    "emoji": ["🥤 cups", "🍌 organic"],
}
DOLLARS = ["$1 bottle$", "$\\frac$", "$x_$", "100$", "a^b_c\\"]
pytestmark = pytest.mark.usefixtures("drawn")


def boxes(names: list[str]) -> plt.Figure:
    """A figure as chapters draw it, with seaborn and no thought of names."""
    table = pd.DataFrame({"label": np.repeat(names, 5), "value": np.linspace(0.01, 100, 5 * len(names))})
    figure, axes = plt.subplots(figsize=(8, 3.6))
    colours, _ = figures.class_styles(names)
    sns.stripplot(table, x="value", y="label", hue="label", palette=colours, ax=axes, legend=False)
    axes.set_xscale("log")
    return figure


def shown(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def overlaps(figure, labels) -> int:
    """How many neighbours among some labels lie on one another."""
    figure.canvas.draw()
    places = [label.get_window_extent() for label in labels]
    return sum(a.overlaps(b) for a, b in itertools.pairwise(places))


@pytest.mark.fault(
    "hostile names", "classes in six scripts", "each letter is drawn, or said in a line to be missing"
)
@pytest.mark.parametrize("script", SCRIPTS)
def test_letters_are_drawn_or_said_to_be_missing(script, monkeypatch):
    outputs: list[dict] = []
    monkeypatch.setattr(chapters, "display", lambda data, **kind: outputs.append(data))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        chapters.show(boxes(SCRIPTS[script]), "They lie apart.")
    undrawn = {chr(int(str(one.message).split()[1])) for one in said if str(one.message).startswith("Glyph")}
    told = "".join(output["text/plain"] for output in outputs if "image/png" not in output)
    assert {letter for letter in undrawn if letter.isprintable()} <= set(told)
    assert ("No font on this machine" in told) == bool(undrawn)


def test_a_font_that_matplotlib_has_not_listed_yet_is_found(monkeypatch):
    fonts = [
        font for font in font_manager.fontManager.ttflist if font.name in (style.FONT, "DejaVu Math TeX Gyre")
    ]
    monkeypatch.setattr(style.fontManager, "ttflist", [font for font in fonts if font.name == style.FONT])
    monkeypatch.setattr(style, "findSystemFonts", lambda: [font.fname for font in fonts])
    assert style.find_letters("glass \U0001d4d0") == ""  # a bold script A: mathematicians' fonts have it
    assert mpl.rcParams["font.family"] == [style.FONT, "DejaVu Math TeX Gyre"]
    assert style.find_letters("\U0001f964") == "\U0001f964"


def test_letters_are_looked_for_in_matplotlibs_own_fonts_too():
    with mpl.rc_context({"font.family": ["sans-serif"]}):  # as where no chapter has been opened
        assert style.find_letters("94 % −1") == ""


@pytest.mark.fault("hostile names", "dollars, carets and backslashes", "are drawn as they are written")
def test_no_dollar_is_a_formula():
    figure = boxes(DOLLARS)
    assert figures.make_room(figure) == "" and shown(figure.axes[0].yaxis) == DOLLARS
    assert not any(label.get_parse_math() for label in figure.axes[0].get_yticklabels())
    numbers = {text for text in shown(figure.axes[0].xaxis) if text}
    assert {"0.01", "1", "100"} <= numbers and not any("$" in text for text in numbers)


@pytest.mark.parametrize("longest", [12, 20, 40])
def test_names_shortened_stay_different_and_short(longest):
    same, ends = "plastic bottle of the same thirty letters ", " and an end that all of them have as well"
    names = ["glass", "a" * 200, "a" * 199 + "b", *(f"{same}{at}{ends}" for at in range(3)), "glass"]
    short = figures.shorten(names, longest)
    assert len(set(short)) == len(set(names)) and short[0] == short[-1] == "glass"
    assert max(map(len, short)) <= longest + 5


@pytest.mark.parametrize("count", [2, 12, 40])
def test_figures_grow_with_the_classes(count):
    names = [f"class {at:02d} of a name as long as names are, all told" for at in range(count)]
    figure = boxes(names)
    figures.make_room(figure)
    assert overlaps(figure, figure.axes[0].get_yticklabels()) == 0
    assert len(set(shown(figure.axes[0].yaxis))) == count
    rows = [(one, other) for one in names for other in (one, names[0])]
    table = pd.DataFrame(rows, columns=["label", "predicted"]).assign(**MODEL.columns)
    figure = figures.confusion_matrices(table, names)
    assert overlaps(figure, figure.axes[0].get_yticklabels()) == 0
    recalls = pd.DataFrame({"label": names, "recall": 0.5, "change": np.nan, "low": np.nan, "high": np.nan})
    figure = figures.recall_changes(recalls.assign(**MODEL.columns), names)
    assert overlaps(figure, [*figure.axes[0].get_xticklabels(), *figure.axes[0].get_yticklabels()]) == 0
    assert figure.get_figwidth() == style.WIDE  # a page shows it as large as it is drawn


def test_a_dozen_classes_have_colours_and_marks_of_their_own():
    for classes in ([f"class {at}" for at in range(6)], list(style.CLASS_ORDER)):
        colours, markers = figures.class_styles(classes)
        assert len(set(colours.values())) == len(set(markers.values())) == len(classes)
    twelve = [*style.CLASS_ORDER, *"abcdef"]
    colours, markers = figures.class_styles(twelve)
    assert len(set(colours.values())) == len(set(markers.values())) == 12


def draw_elsewhere(**own):
    """The hash of a figure drawn by a process with an environment of its own."""
    code = "import hashlib, io; from wastebook.report import figures; figures.set_up()\n"
    code += "import matplotlib.pyplot as p\n"
    code += "p.plot([1, 2], label='glass'); p.legend(); p.savefig(b := io.BytesIO())\n"
    code += "print(hashlib.sha256(b.getvalue()).hexdigest())"
    plain = {name: value for name, value in os.environ.items() if name not in ("MATPLOTLIBRC", "DISPLAY")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=plain | own, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def as_ever():
    return draw_elsewhere()


@pytest.mark.fault(
    "own folders", "a matplotlibrc with LaTeX, fonts and a backend", "figures come out the same"
)
@pytest.mark.parametrize(
    "setting", ["text.usetex: True", "font.size: 40", "axes.facecolor: red", "backend: TkAgg", None]
)
def test_a_users_own_settings_change_nothing(setting, as_ever, tmp_path):
    if setting is None:
        own = {"MPLBACKEND": "TkAgg"}
    else:
        own = {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
        (tmp_path / "matplotlibrc").write_text(setting)
    assert draw_elsewhere(**own) == as_ever


@pytest.mark.parametrize(
    ("shown", "half"),
    [
        ("accuracy", "50\u202f%"),
        ("share of photos", "50\u202f%"),
        ("points of accuracy", "0.5"),
        ("macro F1", "0.5"),
    ],
)
@pytest.mark.parametrize("where", ["xlabel", "ylabel", "title"])
def test_shares_are_told_in_percent_as_in_the_text(shown, half, where):
    figure, axes = plt.subplots()
    axes.set(**{where: shown}, xlim=(0, 1), ylim=(0, 1), xticks=[0.5], yticks=[0.5])
    figures.make_room(figure)
    axis = axes.xaxis if where == "xlabel" else axes.yaxis
    assert axis.get_major_formatter().format_ticks([0, 0.5])[1] == half


def test_differences_are_told_in_points():
    table = pd.DataFrame({"step": ["search"], "difference": 0.031, "low": 0.01, "high": 0.05, "metric": "f1"})
    axes = figures.intervals(table.assign(scheme="x"), "step", "difference", zero=True).axes[0]
    assert axes.containers[0][0].get_xdata().tolist() == pytest.approx([3.1])


def test_rows_keep_their_names_beside_shares():
    table = pd.DataFrame({"step": ["search"], "value": 0.8, "low": 0.7, "high": 0.9, "scheme": "x"})
    figure = figures.intervals(pd.concat(table.assign(metric=name) for name in ("accuracy", "f1")), "step")
    figures.make_room(figure)
    assert shown(figure.axes[0].yaxis) == ["search"] and "80\u202f%" in shown(figure.axes[0].xaxis)


@pytest.mark.parametrize("title", ["ResNet18, horizontal flip", "Drawn sample of six materials", "blur"])
@pytest.mark.parametrize("across", [2, 4])
def test_titles_are_broken_rather_than_cut(title, across):
    figure, panels = plt.subplots(1, across)
    panels[0].set_title(title, loc="left")
    figures.make_room(figure)
    assert " ".join(panels[0].get_title("left").split()) == title


@pytest.mark.parametrize("width", [1.5, 8])
@pytest.mark.parametrize("ends", [(0.1, 504_000), (333, 380), (0.1, 0.1), (1e-9, 1e9), (50, 480), (700, 700)])
def test_a_logarithmic_axis_has_two_numbers_at_least_and_none_over_another(ends, width):
    figure, axes = plt.subplots(figsize=(width, 2))
    sns.boxplot(x=ends, log_scale=True, ax=axes)
    figures.make_room(figure)
    low, high = axes.get_xlim()
    numbers = [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
    assert len(numbers) > 1 and not any("$" in number.get_text() for number in numbers)
    assert width < 8 or overlaps(figure, numbers) == 0


@pytest.mark.parametrize("legend", [True, False])
def test_titles_of_several_lines_have_room_between_panels(legend):
    names = [f"A rather long class name number 0{at}" for at in range(6)]
    table = pd.DataFrame({"x": [0, 1] * 6, "y": 0.5, "label": np.repeat(names, 2), "hue": ["a", "b"] * 6})
    look = {"col": "label", "col_wrap": 3, "height": 2.4, "hue": "hue", "legend": legend}
    figure = sns.relplot(table, x="x", y="y", **look).set_titles("{col_name}").figure
    figures.make_room(figure)
    figure.canvas.draw()
    above, below = figure.axes[0].get_tightbbox(), figure.axes[3].get_tightbbox()
    assert "\n" in figure.axes[3].get_title("left") and above.y0 > below.y1
    assert not legend or max(axes.bbox.x1 for axes in figure.axes) <= figure.legends[0].get_window_extent().x0


@pytest.mark.parametrize("count", [6, 18, 30])
def test_pictures_on_a_slide_leave_room_for_what_stands_above_each(count):
    captions = [f"A rather long class name number {at}" for at in range(count)]
    figure = figures.enlarged(
        figures.photo_grid([np.zeros((60, 80, 3), np.uint8)] * count, captions, across=6)
    )
    figures.make_room(figure)
    figure.canvas.draw()
    texts, pictures = figure.axes[0].texts, figure.axes[0].images
    for text, picture in itertools.product(texts, pictures):
        assert not text.get_window_extent().overlaps(picture.get_window_extent())
    assert not any(
        a.get_window_extent().overlaps(b.get_window_extent()) for a, b in itertools.combinations(texts, 2)
    )
    assert figure.get_figheight() * figure.dpi <= style.SLIDE[1] + 1


@pytest.mark.parametrize(("count", "across", "rows"), [(4, 3, 2), (5, 3, 2), (3, 3, 1), (7, 3, 3)])
def test_panels_stand_in_rows_alike(count, across, rows):
    panels = style.panels(count, across, (2, 2))[1]
    grid = panels[0].get_gridspec()
    assert len(panels) == count and grid.nrows == rows and grid.ncols * rows - count < rows


@pytest.mark.parametrize(("count", "longest"), [(2, 10), (4, 30), (5, 10), (3, 40)])
def test_few_lines_are_named_where_they_end(count, longest):
    rows = [(f"line {at}".ljust(longest, "x"), x, at / 1000) for at in range(count) for x in (0, 1)]
    figure = figures.curves(pd.DataFrame(rows, columns=["name", "x", "value"]), "x", hue="name")
    figure.canvas.draw()
    labels = sorted(figure.axes[0].texts, key=lambda text: text.xy[1])
    assert bool(labels) != bool(figure.legends) and bool(labels) == (count < 5 and longest <= 30)
    assert overlaps(figure, labels) == 0
    colours = {line.get_label(): line.get_color() for line in figure.axes[0].lines}
    assert all(label.get_color() == colours[label.get_text()] for label in labels)
