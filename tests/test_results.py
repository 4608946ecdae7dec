"""Tables of long runs: made small here, stamped, and stale when what made them changes."""

import json
from pathlib import Path

import pandas as pd
import pytest

from workflow import results
from workflow.tables import classification

STORED = Path(__file__).parent.parent / "results"
SMALL = {"regimes": ["clear"], "n_subjects": 60, "n_splits": 2, "seed": 0, "epochs": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "RESULTS", folder)
        patch.setattr(results, "MODELS", str(folder / "models"))
        patch.setattr(results, "hash_core", lambda *rooms: "1f2e")
        patch.setattr(classification, "PARAMETERS", SMALL)
        assert results.changes("classification", classification) is None
        results.compute("classification", classification, SMALL)
        yield folder


def test_a_table_is_current_until_its_parameters_or_code_change(folder, monkeypatch):
    assert results.changes("classification", classification) == []
    monkeypatch.setattr(classification, "PARAMETERS", {**SMALL, "seed": 1})
    assert results.changes("classification", classification) == ["parameters"]
    monkeypatch.setattr(results, "hash_core", lambda *rooms: "2e3d")
    assert results.changes("classification", classification) == ["core", "parameters"]


def test_the_table_scores_every_method_on_every_split_and_its_numbers_are_means(folder):
    table = pd.read_csv(folder / "classification.csv", keep_default_na=False)
    assert (table.groupby(["method", "rule"])["split"].nunique() == 2).all()
    svm = table.query("method == 'linear SVM'")["accuracy"].mean()
    numbers = json.loads((folder / "classification.json").read_text())["numbers"]
    assert numbers["classification_clear_svm"] == pytest.approx(svm, abs=1e-3)
    assert {"classification_clear_network", "classification_clear_network_paper_rule"} < set(numbers)


def test_every_stored_table_has_its_stamp():
    for path in STORED.glob("*.csv"):
        assert "numbers" in json.loads(path.with_suffix(".json").read_text())
