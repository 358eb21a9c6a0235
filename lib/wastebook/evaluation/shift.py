"""What a score is worth elsewhere, foretold from photos without labels."""

from itertools import combinations

import numpy as np
import pandas as pd

from wastebook.evaluation.metrics import DRAWS, LEVEL, value_and_draws
from wastebook.learning.predictions import probabilities_of


def foretell(home: pd.DataFrame, there: pd.DataFrame) -> pd.DataFrame:
    """The accuracy that one would expect of a model on photos `there`, whose labels are not looked at, from
    its predictions for them and for test at `home`, of several seeds: `method, foretold, low, high` (95 %, by
    group and both ends drawn), by

    - `confidence`: how sure it is there;
    - `difference of confidences`: as much less right as it is less sure (Guillory et al. 2021);
    - `agreement of seeds`: as much less right as its seeds agree less often (after Jiang et al. 2022); not of
      one seed.
    """
    right = (home["label"] == home["predicted"]).to_numpy(dtype=float)
    (sure, agreed), (sure_there, agreed_there) = map(_signs, (home, there))
    at_home = np.stack([np.zeros_like(right), right - sure, right - agreed], axis=1)
    drawn = _means(there, np.stack([sure_there, sure_there, agreed_there], axis=1)) + _means(home, at_home)
    methods = ("confidence", "difference of confidences", "agreement of seeds")
    table = pd.DataFrame({"method": methods, "foretold": drawn[0]})
    table["low"], table["high"] = np.percentile(drawn[1:], LEVEL, axis=0)
    return table.dropna(subset="foretold")


def feature_distance(home: np.ndarray, there: np.ndarray) -> float:
    """How far apart two sets of photos lie by their features, (N, D) each: the Fréchet distance of Gaussians
    with a mean and a deviation for each feature, in units of the deviations at `home`."""
    first, second = (np.stack([part.mean(axis=0), part.std(axis=0)]) for part in (home, there))
    return float(np.sqrt((((first - second) / (first[1] + 1e-6)) ** 2).sum(axis=0).mean()))


def _signs(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """For each row how sure it is, and how often the seeds that answered its photo agree in pairs (missing
    where there is no pair)."""
    answers = predictions.pivot(index="path", columns="seed", values="predicted")
    both = [answers[list(pair)].dropna() for pair in combinations(answers, 2)]
    agreed = pd.concat([pd.Series(dtype=float), *(pair.iloc[:, 0] == pair.iloc[:, 1] for pair in both)])
    shares = agreed.astype(float).groupby(agreed.index).mean()
    return probabilities_of(predictions).max(axis=1), predictions["path"].map(shares).to_numpy(dtype=float)


def _means(predictions: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    """The means of `values` (N, K) over the rows that have them, as they are and drawn: (1 + `DRAWS`, K)."""
    known = ~np.isnan(values)
    drawn = value_and_draws(predictions, DRAWS)
    with np.errstate(invalid="ignore"):
        return np.concatenate([rows @ np.nan_to_num(values) / (rows @ known) for rows, _ in drawn])
