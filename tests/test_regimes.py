"""Regimes: four populations as data, and what is refused."""

import pytest

from gcamccl_core.data.regimes import REGIMES, Regime, find_regime


def test_scattered_differs_from_clear_in_placement_alone():
    clear, scattered = vars(REGIMES["clear"]), vars(REGIMES["scattered"])
    assert {name for name in clear if clear[name] != scattered[name]} == {"description", "placement"}


def test_null_differs_from_clear_in_the_tie_to_the_score_alone():
    clear, null = vars(REGIMES["clear"]), vars(REGIMES["null"])
    assert {name for name in clear if clear[name] != null[name]} == {"description", "score_loading"}
    assert null["score_loading"] == 0


def test_ones_own_regime_is_handed_back():
    mine = Regime("mine", heritability=0.1)
    assert find_regime(mine) is mine


@pytest.mark.parametrize(("asked", "hint"), [("realstic", "did you mean 'realistic'"), ("xyz", "Regimes are clear")])
def test_an_unknown_regime_is_refused_with_a_suggestion(asked, hint):
    with pytest.raises(ValueError, match=hint):
        find_regime(asked)


@pytest.mark.parametrize(
    "wrong",
    [{"score_loading": 1.2}, {"heritability": -0.1}, {"high_share": 2.0}, {"low_effect": -1.0}, {"nuisance": -1.0}],
)
def test_an_impossible_parameter_is_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Regime("impossible", **wrong)
