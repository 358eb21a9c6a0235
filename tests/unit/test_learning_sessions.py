"""A head validated on sessions: runs of the numbers in file names."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from wastebook.errors import WastebookError
from wastebook.learning import sessions
from wastebook.learning.heads import head_probabilities
from wastebook.learning.predictions import Model

CLASSES = ["organic", "recyclable"]


def numbered(count=40):
    labels = np.repeat(CLASSES, count // 2)
    names = [f"{label}/{number}.jpg" for label in CLASSES for number in range(1, count // 2 + 1)]
    photos = pd.DataFrame({"path": names, "label": labels, "split": "train"})
    return photos.assign(group=pd.array([pd.NA] * count, dtype="Int64"))


def test_folds_are_runs_of_numbers_and_keep_groups_whole():
    photos = numbered()
    fold = sessions.session_folds(photos.sample(frac=1, random_state=0), 4)
    assert (np.bincount(fold) == 10).all()
    ordered = sessions.session_folds(photos, 4)
    assert (np.diff(ordered[:20]) >= 0).all() and list(ordered[:20]) == list(ordered[20:])
    photos.loc[[0, 19], "group"] = 7
    assert sessions.session_folds(photos, 4)[19] == 0
    shuffled = sessions.shuffled_folds(numbered(), 4, 0)
    assert (np.bincount(shuffled) == 10).all() and (np.diff(shuffled[:20]) < 0).any()


def test_a_session_head_sees_through_what_only_neighbours_share():
    """Features that tell the run, not the class: shuffled validation believes in them, sessions do not."""
    random = np.random.default_rng(0)
    photos = numbered(400)
    target = (photos["label"] == CLASSES[1]).to_numpy()
    run = sessions.session_folds(photos, 20) + 20 * target
    of_run = random.normal(size=(40, 30))[run] + 0.1 * random.normal(size=(400, 30))
    features = np.column_stack([of_run, target + random.normal(size=400)]).astype(np.float32)
    by_session = sessions.solve_session_head(features, photos, CLASSES, sessions.session_folds(photos, 20))
    shuffled = sessions.solve_session_head(features, photos, CLASSES, sessions.shuffled_folds(photos, 20, 0))
    promised = [((left_out[:, 1] > 0.5) == target).mean() for _, _, left_out in (by_session, shuffled)]
    assert promised[1] > 0.95 > 0.85 > promised[0] > 0.5
    penalties = [path.sort_values("log_loss")["l2"].iloc[0] for _, path, _ in (by_session, shuffled)]
    assert penalties[0] > penalties[1]
    scale = features.std(axis=0)
    solved = {  # the direction that each penalty gives
        l2: LogisticRegression(C=1 / (l2 * 400))
        .fit((features - features.mean(axis=0)) / scale, target)
        .coef_[0]
        for l2 in sessions.PENALTIES
    }
    for (head, _, _), chosen in zip((by_session, shuffled), penalties, strict=True):
        alike = {l2: np.corrcoef(weights, head.weight[1] * scale)[0, 1] for l2, weights in solved.items()}
        assert max(alike, key=alike.get) == chosen and alike[chosen] > 0.999


def test_validation_of_a_session_head_was_left_out():
    photos = numbered(80).assign(split=["train", "train", "validation", "test"] * 20)
    features = np.random.default_rng(0).normal(size=(80, 5)).astype(np.float32)
    learned = (photos["split"] != "test").to_numpy()
    folds = sessions.session_folds(photos[learned], 4)
    _, _, left_out = sessions.solve_session_head(features[learned], photos[learned], CLASSES, folds)
    model = Model("xception", "71x71", head="exact")
    study, _ = sessions.solve_session_heads(model, features, {("official", 0): photos}, CLASSES, 4)
    assert study.predictions["split"].tolist() == ["validation", "test"] * 20
    sure = study.predictions["p_recyclable"].to_numpy().reshape(20, 2)
    assert (sure[:, 0] == left_out[2::3, 1]).all()
    asked = head_probabilities(study.heads["official", 0], features)
    assert np.allclose(asked.sum(axis=1), 1) and (sure[:, 1] == asked[3::4, 1]).all()


def test_what_cannot_be_solved_is_refused():
    photos = numbered()
    with pytest.raises(WastebookError, match="two classes apart; the data set has 3"):
        sessions.solve_session_head(np.zeros((40, 2)), photos, [*CLASSES, "c"], np.arange(40) % 4)
    with pytest.raises(WastebookError, match="Fold 0 holds all photos of a class"):
        sessions.solve_session_head(np.zeros((40, 2)), photos, CLASSES, np.arange(40) // 20)


def test_sessions_are_named_where_somebody_has_looked():
    searches = pd.DataFrame({"label": ["organic"], "first": [3], "last": [5], "shows": ["apples"]})
    names, first = sessions.name_sessions(numbered(), searches, 2), "run 1 of organic"
    assert list(names[:7]) == [first, first, "apples", "apples", "apples", first, first]
    assert list(names[20:]) == ["run 1 of recyclable"] * 10 + ["run 2 of recyclable"] * 10


def test_heads_under_every_deal():
    photos = numbered()
    photos.loc[sessions.file_numbers(photos) > 15, "split"] = "test"
    assert sessions.split_by_number(photos)
    target = (photos["label"] == CLASSES[1]).to_numpy()
    features = (target[:, None] + np.random.default_rng(0).normal(size=(40, 3))).astype(np.float32)
    model, deals = Model("resnet18", "8x8", head="exact"), {("official", 3): photos}
    study, paths = sessions.solve_session_heads(model, features, deals, CLASSES, 3)
    answers = study.predictions
    assert answers["split"].value_counts().to_dict() == {"validation": 30, "test": 10}
    assert set(answers["seed"]) == {3} and list(paths["l2"]) == list(sessions.PENALTIES)
    shuffled, _ = sessions.solve_session_heads(model, features, deals, CLASSES, 3, shuffled=True)
    assert not np.allclose(shuffled.predictions["p_organic"], answers["p_organic"])
    photos.loc[0, "split"] = "test"
    assert not sessions.split_by_number(photos)
