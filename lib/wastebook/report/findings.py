"""What the reference run on the real photos found: the voice of the book on its front page, at the head of
each chapter, in the README and in the deck. Each sentence is read off the tables in `data/reference/`."""

from functools import cache, partial
from typing import Any, NamedTuple

import pandas as pd

from wastebook import paths
from wastebook.evaluation.comparison import choose_on_validation, judge_difference
from wastebook.learning.predictions import Model
from wastebook.report.reference import BINARY, MATERIALS, read_kept, read_values
from wastebook.report.sentences import (
    NARROW,
    TITLES,
    count_clear,
    describe_balance,
    describe_difference,
    format_count,
    format_percent,
    format_points,
    format_range,
    format_share,
    join_names,
    name_model,
    name_network,
    plain_name,
    select_row,
    weigh,
)

OLD, NEW = "resnet18", "efficientnet_b0"
CARDS = (
    *("07-comparison", "09-elsewhere", "04-efficientnet", "03-augmentation"),
    *("01-exploration", "10-leaks", "06-trust", "08-new-photos"),
)
CAUTIOUS, AIM = 0.8, 0.95  # shares: that a cautious model answers; hoped for on unseen objects


class Finding(NamedTuple):
    """What a chapter found: a `title` that says it in a line, the `sentences` that it has in short, and where
    it has a card on the front page a `number`, the `words` under it and the `section` that it links to."""

    title: str
    sentences: tuple[str, ...]
    number: str = ""
    words: str = ""
    section: str = ""


@cache
def findings() -> dict[str, Finding]:
    """What the reference found, by chapter that it has, in the order of the book."""
    return {chapter: tell() for chapter, tell in TELLERS.items() if any(paths.REFERENCE.glob(f"*/{chapter}"))}


def verdict() -> str:
    """What decides how good a model is, as the title of the figure that shows it."""
    *network, search = map(judge_difference, _steps())
    return weigh(network, [search], _augmentations())


def lead() -> tuple[str, ...]:
    """All of it in three sentences, for who reads no more than that."""
    kept = read_values(MATERIALS, "01-exploration")
    double = format_percent(kept["photos_with_a_double"] / kept["photos"])
    gains = {"better": "a clear gain", "worse": "a clear loss", "undecided": "no clear gain"}
    (network, _, search), ways = (gains[judge_difference(row)] for row in _steps()), _augmentations()
    return (
        "A network that learned to see from other pictures, with one new layer for waste, names the material "
        f"in {10 * best_model()['value']:.0f} of 10 photos of objects new to it, as far as copies are found.",
        f"On new objects the newer network gives {network} by one recipe, a search of its training {search}; "
        f"of {len(ways)} ways to vary or reweigh photos for the older {count_clear(ways)} beyond luck.",
        f"In a much-used data set {double} of the photos show, as found, a thing or print that others show.",
    )


def best_model() -> pd.Series:
    """The accuracy on photos of unseen objects of the frozen model that validation chose on TrashNet."""
    scores = pd.concat([read_kept("02-baseline"), read_kept("04-efficientnet")], ignore_index=True)
    return _tested(scores, model=choose_on_validation(scores, "grouped"))


def _explore() -> Finding:
    kept = read_values(MATERIALS, "01-exploration")
    photos, double, counts = kept["photos"], kept["photos_with_a_double"], pd.Series(kept["photos_of_class"])
    tested, known = kept["test_photos"], kept["test_photos_known"]
    share, known_share = format_percent(double / photos), format_percent(known / tested)
    return Finding(
        TITLES["01-exploration"].format(share=share, title="TrashNet"),
        (
            f"TrashNet has {format_count(photos)} photos. {describe_balance(counts)}",
            f"As found, {format_count(double)} of them ({share}) show a thing or print that another has.",
            f"Of {tested} official test photos {known} ({known_share}) show something that training shows.",
        ),
        f"{known} of {tested}",
        "official test photos of TrashNet, as far as found, show a thing or print that training shows too",
        "sec-exploration",
    )


def _baseline() -> Finding:
    name, row = name_network(OLD), _tested(read_kept("02-baseline"), network=OLD, head="recipe")
    search, asked = _answer(OLD, OLD, "searched"), "unseen objects"
    return Finding(
        TITLES["02-baseline"].format(network=name, share=format_percent(row["value"]), asked=asked),
        (
            f"{name}, frozen, is right for {format_share(row)} of the photos of objects new to it.",
            f"In accuracy, a search over its training is {describe_difference(search, 'none')}.",
            f"Most common mistake of {name}: {read_values(MATERIALS, '02-baseline')['commonest_mistake']}.",
        ),
    )


def _augmentation() -> Finding:
    judged, name = _augmentations(), f"a frozen {name_network(OLD)}"
    helps, tried, harmful = count_clear(judged), len(judged), judged.index[judged == "worse"]
    corners = read_values(MATERIALS, "03-augmentation")["corners"]
    return Finding(
        TITLES["03-augmentation"].format(tried=tried, helps=helps),
        (f"Of {tried} ways to vary, weigh or draw photos, in macro F1 {helps} {name} beyond luck.", corners),
        f"{judged.eq('better').sum()} of {tried}",
        f"ways to augment or reweigh photos help {name} in macro F1 more than luck would"
        f"{f'; harmful: {join_names(map(plain_name, harmful))}' * (len(harmful) > 0)}",
        "sec-augmentation",
    )


def _efficientnet() -> Finding:
    steps, best, first, second = _steps(), best_model(), name_network(OLD), name_network(NEW)
    notes = (note.partition(" (")[0] for note in read_values(MATERIALS, "04-efficientnet")["notes"])
    gain, other = (f"{format_points(row, '').partition(' ')[0]}, {format_range(row)}" for row in steps[:2])
    return Finding(
        verdict(),
        (
            f"In accuracy on unseen objects {second} is {describe_difference(steps[0], first)} by the same "
            f"recipe, and {describe_difference(steps[1], f'a searched {first}')}.",
            f"A search over its training is {describe_difference(steps[2], 'none')}.",
            f"Of the frozen models validation chooses {name_model(best)}, right for {format_share(best)}.",
            *tell_finetuning(),
        ),
        f"{gain.partition(',')[0]}{NARROW}points",
        f"of accuracy at home from {second} instead of {first} by the same recipe, {format_range(steps[0])}; "
        f"{'; '.join([*notes, f'instead of a searched {first} {other}'])}",
        "sec-efficientnet",
    )


def tell_finetuning() -> tuple[str, ...]:
    """What fine-tuning the newer network came to on a GPU, under each split and on photos from elsewhere."""
    scores, away, ways = (read_kept("finetuning", name=of) for of in ("accuracy", "elsewhere", "averages"))
    gain = partial(select_row, read_kept("finetuning", name="gains"), scheme="grouped", metric="accuracy")
    rows = [_tested(scores, scheme, head="finetuned") for scheme in ("grouped", "official")]
    was = join_names(format_percent(_tested(scores, row["scheme"], head="exact")["value"], 1) for row in rows)
    best = ways.loc[ways.query("split == 'validation'").groupby("scheme")["value"].idxmax()]
    chosen = (best["answers"] + " (" + best["scheme"] + ")").tolist()
    shares = [f"{format_share(row)} under the {row['scheme']} split ({row['seeds']} seeds)" for row in rows]
    elsewhere, home, there = _tested(away, head="finetuned"), gain(photos=MATERIALS), gain(photos="household")
    value, high = rows[0][["value", "high"]] >= AIM
    hoped = "reached" if value else f"not reached{', nor ruled out' * bool(high)}"
    return (
        f"Fine-tuned on a GPU, {name_network(NEW)} is right for {join_names(shares)}; in the same run "
        f"frozen, for {was}. Hoped for on new objects was {format_percent(AIM)}: {hoped}.",
        f"Of {ways['answers'].nunique()} ways to answer, averages with the frozen network and over mirrored "
        f"photos among them, validation chooses: {join_names(chosen)}.",
        f"On unseen objects that is {describe_difference(home, 'frozen')}; of {elsewhere['n']} photos "
        f"from elsewhere it is right for {format_share(elsewhere)}, {describe_difference(there, 'frozen')}.",
    )


def _xception() -> Finding:
    scores = read_kept("05-xception", BINARY).query("split == 'test' and metric == 'accuracy'")
    official = scores.query("scheme == 'official'").sort_values("value", ascending=False)
    clean = scores.query("scheme == 'clean'").set_index("model")
    drawn = pd.Series(read_values(MATERIALS, "06-trust")["clean_accuracy_by_sessions"])
    ends = {name: format_percent(official["value"].iloc[at]) for name, at in (("worst", -1), ("best", 0))}
    told = join_names(f"{name_model(row, size=False)} {format_share(row)}" for _, row in official.iterrows())
    without = join_names(format_percent(clean.loc[name, "value"], 1) for name in official["model"])
    return Finding(
        TITLES["05-xception"].format(classes="Organic or recyclable", **ends),
        (
            f"Right on the authors' own test photos, each network trained once: {told}. An exact last layer "
            "learned from validation's photos too.",
            f"On those that have no copy outside test, in the same order: {without}. Intervals are of single "
            f"photos; by whole searches that of {name_model(drawn, size=False)} is {format_range(drawn)}.",
        ),
    )


def _trust() -> Finding:
    copies = pd.read_csv(paths.REFERENCE / BINARY / "06-trust" / "copies.csv")
    tested = read_kept("05-xception", BINARY).query("scheme == 'official' and split == 'test'")["n"].max()
    leak = pd.Series(read_values(MATERIALS, "06-trust")["leakage"])
    worth = read_kept("06-trust", BINARY, "differences").query(
        "scheme == 'official' and metric == 'accuracy'"
    )
    clear = worth.apply(judge_difference, axis=1).eq("better").sum()
    gain = format_points(read_kept("06-trust", name="gains").iloc[0].rename({"gain": "difference"}))
    found = f"{format_count(len(copies))} of {format_count(tested)}"
    return Finding(
        TITLES["06-trust"].format(copies=format_count(len(copies)), tested=format_count(tested)),
        (
            f"Official test photos of the Waste Classification data with a copy in a part of train: {found}.",
            f"With TrashNet's photos dealt at random, {name_model(leak)} is right for "
            f"{format_percent(leak['whole'], 1)} of test, and for {format_percent(leak['part'], 1)} of it "
            f"without what has a twin outside; with that it is {describe_difference(leak, 'without')}, "
            "be that memory or that such photos are easy. On the Waste Classification data's own test "
            f"{clear} of {len(worth)} models are right more often with copies than without, beyond luck.",
            f"As the last doubling went, another 1,000 photos bring {gain}, by the steps of the curve alone.",
        ),
        found,
        "test photos of the Waste Classification data, at least, are copies of its authors' training photos",
        "sec-trust",
    )


def _comparison() -> Finding:
    best, cautious = best_model(), select_row(read_kept("07-comparison", name="selective"), share=CAUTIOUS)
    answers = [read_kept("07-comparison", each, "answers") for each in (MATERIALS, BINARY)]
    asked = [each.apply(judge_difference, axis=1).ne("undecided") for each in answers]
    clear = [f"{each.sum()} of {len(each)}" for each in (*asked, pd.concat(asked))]
    left, right = format_percent(1 - CAUTIOUS), format_percent(cautious["accuracy"], 1)
    met = select_row(pd.read_csv(paths.CARDS / "audit" / "trashnet-lookalikes-unmet.csv"), asked="lookalikes")
    return Finding(
        TITLES["07-comparison"].format(model="frozen model", share=format_percent(best["value"], 1)),
        (
            f"On unseen objects {name_model(best)}, chosen by validation of two frozen networks, is right "
            f"for {format_share(best)}; without the {left} of them it is least sure of, for {right}.",
            f"Of such photos {format_percent(met['share'])} have a lookalike in train that was not linked; "
            f"on these, a head that met it is {describe_difference(met, 'one that did not')}.",
            f"Questions about two models with an answer beyond luck: {clear[2]}; on TrashNet {clear[0]}, on "
            f"the Waste Classification data, by single photos and one training each, {clear[1]}.",
        ),
        format_percent(best["value"], 1),
        "right on unseen objects, as far as copies are found, with what validation chose of two frozen "
        f"networks, {format_range(best)}; {right} ({format_range(cautious)}) if the {left} it is least sure "
        "of are left to people",
        "sec-comparison",
    )


def _new_photos() -> Finding:
    kept, damaged = read_values(MATERIALS, "08-new-photos"), read_kept("08-new-photos", name="corrupted")
    strange, sure = kept["without_waste"]["pictures"], kept["without_waste"]["sure"]
    row, worst = damaged[damaged["kind"] == kept["worst"]].iloc[-1], plain_name(kept["worst"])
    share, low, high = map(format_percent, row[["accuracy", "low", "high"]])
    return Finding(
        TITLES["08-new-photos"].format(worst=worst, share=share),
        (
            f"Of {strange} pictures without any waste {sure} get{'s' * (sure == 1)} a sure answer.",
            f"Of {damaged['kind'].nunique()} kinds of damage, at its strongest, {worst} is worst: {share}.",
        ),
        share,
        f"of {row['photos']} photos named rightly under the worst damage tried, {worst}, {low} to {high}; as "
        f"they are, {format_percent(damaged['accuracy'].iloc[0])}; by one model, trained once",
        "sec-new-photos",
    )


def _told_by(chapter: str) -> Finding:
    """What a chapter has itself recorded of what it found."""
    kept = read_values(MATERIALS, chapter)
    return Finding(sentences=tuple(kept["headline"]), **kept["finding"])


TELLERS: dict[str, Any] = {
    "01-exploration": _explore,
    "02-baseline": _baseline,
    "03-augmentation": _augmentation,
    "04-efficientnet": _efficientnet,
    "05-xception": _xception,
    "06-trust": _trust,
    "07-comparison": _comparison,
    "08-new-photos": _new_photos,
    **{chapter: partial(_told_by, chapter) for chapter in ("09-elsewhere", "10-leaks")},
}


def _tested(scores: pd.DataFrame, scheme: str = "grouped", **model: Any) -> pd.Series:
    """The accuracy on test of the one model with these columns."""
    return select_row(scores, scheme=scheme, split="test", metric="accuracy", **model)


def _answer(network: str, other: str, head: str = "recipe", of: str = "recipe") -> pd.Series:
    """How much more often a network with that head is right than another with that `of` its own, as the
    chapter that compares all models tested it, corrected for all its questions."""
    size = _tested(read_kept("02-baseline"), network=OLD, head="recipe")["image_size"]
    pair = {"model_a": Model(network, size, head=head).id, "model_b": Model(other, size, head=of).id}
    return select_row(read_kept("07-comparison", name="answers"), **pair)


def _steps() -> tuple[pd.Series, ...]:
    """The newer network against the older by one recipe, against it searched, and searched against itself."""
    return _answer(NEW, OLD), _answer(NEW, OLD, of="searched"), _answer(NEW, NEW, "searched")


def _augmentations() -> pd.Series:
    """What each way to vary or reweigh photos does to macro F1 on unseen objects (see `judge_difference`)."""
    gains = read_kept("03-augmentation", name="differences").set_index("transform")
    return gains.query("metric == 'macro_f1' and scheme == 'grouped'").apply(judge_difference, axis=1)
