"""What the reference found, in sentences: they follow its tables, for better, for worse and for nothing."""

import json
import re
import shutil

import pandas as pd
import pytest

from wastebook import paths
from wastebook.report import findings as told
from wastebook.report.sentences import join_names, plain_name

UNCLEAR = "no clear gain"


@pytest.fixture(autouse=True)
def forgetful():
    told.findings.cache_clear()
    yield
    told.findings.cache_clear()


@pytest.fixture
def change(tmp_path, monkeypatch):
    """Change a table of a copy of the reference."""
    shutil.copytree(paths.REFERENCE, tmp_path / "reference")
    monkeypatch.setattr(paths, "REFERENCE", tmp_path / "reference")

    def change(dataset, chapter, name, where, **values):
        file = paths.REFERENCE / dataset / chapter / f"{name}.csv"
        table = pd.read_csv(file)
        table.loc[table.eval(where), list(values)] = list(values.values())
        table.to_csv(file, index=False)

    return change


def test_every_chapter_has_a_title_and_says_something_in_short():
    found = told.findings()
    assert list(found) == sorted({file.parent.name for file in paths.REFERENCE.glob("*/*/run.yml")})
    for finding in found.values():
        assert finding.title and finding.sentences
        assert all(sentence.endswith(".") for sentence in finding.sentences)
        assert bool(finding.number) == bool(finding.words) == bool(finding.section)
    assert all(found[chapter].number for chapter in told.CARDS) and len(told.CARDS) == 8


def test_cards_link_to_sections_of_the_book():
    for chapter, finding in told.findings().items():
        text = (paths.PROJECT / "chapters" / f"{chapter}.ipynb").read_text(encoding="utf-8")
        assert not finding.section or f"{{#{finding.section}" in text


def test_numbers_are_those_of_the_reference():
    kept = json.loads((paths.REFERENCE / "trashnet/01-exploration/values.json").read_text(encoding="utf-8"))
    assert told.findings()["01-exploration"].number == f"{kept['test_photos_known']} of {kept['test_photos']}"
    best = told.best_model()
    assert told.findings()["07-comparison"].number == f"{100 * best['value']:.1f}\u202f%"


@pytest.mark.parametrize(
    ("values", "verdict", "matters"),
    [
        (
            {
                "difference": 0.05,
                "low": 0.02,
                "high": 0.08,
                "p_holm": 0.01,
            },
            "better than ResNet18",
            "a clear gain",
        ),
        (
            {
                "difference": -0.05,
                "low": -0.08,
                "high": -0.02,
                "p_holm": 0.01,
            },
            "worse than ResNet18",
            "a clear loss",
        ),
        ({"difference": 0.01, "low": -0.02, "high": 0.04, "p_holm": 0.6}, "not clearly different", UNCLEAR),
        ({"difference": 0.0, "low": 0.0, "high": 0.0, "p_holm": 1.0}, "exactly as good as", UNCLEAR),
    ],
)
def test_the_verdict_on_the_architecture_is_the_tests(change, values, verdict, matters):
    pair = "model_a == 'efficientnet_b0-224x224' and model_b == 'resnet18-224x224'"
    change("trashnet", "07-comparison", "answers", pair, **values)
    assert verdict in told.findings()["04-efficientnet"].sentences[0]
    assert f"the newer network gives {matters} by one recipe" in told.lead()[1]


@pytest.mark.parametrize(
    ("p", "said", "doubt"),
    [
        (0.01, "recipe, and better than a searched ResNet18 (+4.0 points", "7.0"),
        (
            0.06,
            "recipe, and not clearly different from a searched ResNet18 (+4.0",
            "7.0 (corrected p 0.060)",
        ),
    ],
)
def test_the_newer_network_is_held_against_the_older_one_searched_too(change, p, said, doubt):
    pair = "model_a == 'efficientnet_b0-224x224' and model_b == 'resnet18-224x224-searched'"
    ends = {"difference": 0.04, "low": 0.005, "high": 0.07, "p_holm": p}
    change("trashnet", "07-comparison", "answers", pair, **ends)
    found = told.findings()["04-efficientnet"]
    assert said in found.sentences[0] and "ResNet18 by the same recipe, " in found.words
    assert found.words.endswith(f"; instead of a searched ResNet18 +4.0, 0.5 to {doubt}")


@pytest.mark.parametrize(
    ("network", "search", "title"),
    [
        (0.01, 0.6, "The network matters; no clear gain from search or augmentation"),
        (0.01, 0.01, "The network matters; a clear gain from search"),
        (0.6, 0.01, "The network does not matter; a clear gain from search"),
        (0.6, 0.6, "No clear gain from anything tried"),
    ],
)
def test_the_title_says_what_is_clear(change, network, search, title):
    for other in ("resnet18-224x224", "resnet18-224x224-searched"):
        change("trashnet", "07-comparison", "answers", f"model_b == '{other}'", p_holm=network)
    change("trashnet", "07-comparison", "answers", "model_b == 'efficientnet_b0-224x224'", p_holm=search)
    change("trashnet", "03-augmentation", "differences", "metric == 'macro_f1'", p_holm=0.6)
    assert told.verdict() == title
    change("trashnet", "07-comparison", "answers", f"model_b == '{other}'", p_holm=0.61 - network)
    apart, gain = "matters" if network < 0.05 else "does not matter", title.partition("; ")[2]
    gain = gain or "no clear gain from search or augmentation"
    assert told.verdict() == f"By one recipe the network {apart}; {gain}"


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.015, 0.004, 0.026, 0.01), "with that it is better than without (+1.5 points"),
        ((0.015, -0.004, 0.034, 0.3), "with that it is not clearly different from without"),
        ((-0.015, -0.026, -0.004, 0.01), "with that it is worse than without"),
    ],
)
def test_what_copies_are_worth_is_told_of_the_same_photos(change, ends, said):
    file = paths.REFERENCE / "trashnet" / "06-trust" / "values.json"
    kept = json.loads(file.read_text(encoding="utf-8"))
    kept["leakage"] |= dict(zip(("difference", "low", "high", "p_holm"), ends, strict=True))
    file.write_text(json.dumps(kept), encoding="utf-8")
    assert said in told.findings()["06-trust"].sentences[1]


@pytest.mark.parametrize(
    ("helping", "harming", "said"),
    [(0, 0, "none helps"), (1, 0, "1 helps"), (3, 1, "3 help, 1 harms"), (0, 2, "none helps, 2 harm")],
)
def test_ways_to_augment_are_counted(change, helping, harming, said):
    gains = pd.read_csv(paths.REFERENCE / "trashnet/03-augmentation/differences.csv")
    ways = list(gains["model_a"].unique())
    change("trashnet", "03-augmentation", "differences", "metric == 'macro_f1'", p_holm=0.6)
    for some, difference in ((ways[:helping], 0.04), (ways[helping : helping + harming], -0.04)):
        of_them = f"model_a in {some} and metric == 'macro_f1'"
        change("trashnet", "03-augmentation", "differences", of_them, difference=difference, p_holm=0.01)
    finding = told.findings()["03-augmentation"]
    harmful = [plain_name(way.partition("+")[2]) for way in ways[helping : helping + harming]]
    assert (
        finding.title.endswith(f"vary photos {said} beyond luck")
        and finding.number == f"{helping} of {len(ways)}"
    )
    assert finding.words.endswith(f"; harmful: {join_names(harmful)}" if harmful else "luck would")
    assert told.lead()[1].endswith(
        f"of {len(ways)} ways to vary or reweigh photos for the older {said} beyond luck."
    )


@pytest.mark.parametrize(
    ("difference", "said", "points"),
    [
        (0.05, "is better than frozen (", "+5.0"),
        (-0.05, "is worse than frozen (", "−5.0"),
        (0.004, "is not clearly different from frozen (", "+0.4"),
    ],
)
def test_fine_tuning_is_told_as_it_came_out(change, difference, said, points):
    ends = {
        "low": difference - 0.01,
        "high": difference + 0.01,
        "p_holm": 0.01 if abs(difference) > 0.01 else 0.5,
    }
    change("trashnet", "finetuning", "gains", "scheme == 'grouped'", difference=difference, **ends)
    change("trashnet", "finetuning", "elsewhere", "head == 'finetuned'", value=0.25)
    found = told.findings()["04-efficientnet"]
    assert f"{said}{points}" in found.sentences[-1]
    assert re.search(r"is right for 25\s%", found.sentences[-1])


def test_an_interval_that_the_correction_doubts_says_so_on_the_card(change):
    ends = {"difference": 0.04, "low": 0.005, "high": 0.07, "p_holm": 0.06}
    change("trashnet", "07-comparison", "answers", "model_b == 'resnet18-224x224-searched'", **ends)
    assert told.findings()["04-efficientnet"].words.endswith("+4.0, 0.5 to 7.0 (corrected p 0.060)")


def test_a_fine_tuned_share_stands_beside_the_frozen_one_of_the_same_deals(change):
    change("trashnet", "finetuning", "accuracy", "head == 'exact' and scheme == 'grouped'", value=0.777)
    assert "; in the same run frozen, for 77.7\u202f% and " in told.tell_finetuning()[0]


@pytest.mark.parametrize(
    ("value", "high", "said"),
    [(0.949, 0.96, "not reached, nor ruled out"), (0.93, 0.949, "not reached"), (0.95, 0.96, "reached")],
)
def test_whether_what_was_hoped_for_is_reached(change, value, high, said):
    where = "head == 'finetuned' and scheme == 'grouped' and split == 'test'"
    change("trashnet", "finetuning", "accuracy", where, value=value, high=high)
    assert f"Hoped for on new objects was 95\u202f%: {said}." in told.tell_finetuning()[0]


@pytest.mark.parametrize("chosen", ["fine-tuned alone", "both, mirrored too"])
def test_validation_chooses_how_the_fine_tuned_network_answers(change, chosen):
    better = f"answers == '{chosen}' and split == 'validation' and scheme == 'official'"
    change("trashnet", "finetuning", "averages", better, value=0.99)
    assert f"validation chooses: fine-tuned alone (grouped) and {chosen} (official)." in " ".join(
        told.tell_finetuning()
    )


def test_validation_chooses_the_model_that_is_named(change):
    change(
        "trashnet",
        "04-efficientnet",
        "scores",
        "model == 'efficientnet_b0-224x224' and split == 'validation'",
        value=0.99,
    )
    assert told.best_model()["model"] == "efficientnet_b0-224x224"
    assert "Of the frozen models validation chooses EfficientNet-B0, 224 x 224," in " ".join(
        told.findings()["04-efficientnet"].sentences
    )


@pytest.mark.parametrize(("p", "said"), [(0.01, "4 of 4"), (0.6, "0 of 4")])
def test_what_copies_are_worth_on_the_official_test_is_told_too(change, p, said):
    where = "scheme == 'official' and metric == 'accuracy'"
    change("waste-classification", "06-trust", "differences", where, p_holm=p)
    told_of = told.findings()["06-trust"].sentences[1]
    assert f"own test {said} models are right more often with copies than without" in told_of


def test_a_share_of_few_photos_has_the_digits_of_its_chapter(change):
    ends = {"accuracy": 0.2667, "low": 0.2083, "high": 0.3498}
    change("trashnet", "08-new-photos", "corrupted", "kind == 'blur'", **ends)
    assert ", blur, 21\u202f% to 35\u202f%; as they are, " in told.findings()["08-new-photos"].words
