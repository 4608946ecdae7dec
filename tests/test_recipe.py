"""Recipes: Table II to the letter, and no value out of range."""

import dataclasses

import pytest

from gcamccl_core.model.recipe import Recipe


def test_paper_recipe_is_table_ii():
    paper = Recipe.paper()
    assert (paper.epochs, paper.batch_size, paper.learning_rate) == (500, 4, 1e-5)
    assert (paper.momentum, paper.dropout, paper.agreement) == (0.9, 0.2, 1)
    rates = [paper.learning_rate_at(epoch) for epoch in range(1, 501)]
    assert rates == [1e-5] * 200 + [5e-6] * 200 + [2.5e-6] * 100
    demo = Recipe.demo()
    assert sum(demo.learning_rate_at(epoch) for epoch in range(1, 34)) == pytest.approx(sum(rates), rel=0.02)
    assert dataclasses.replace(demo, epochs=500, learning_rate=1e-5, patience=paper.patience) == paper
    assert Recipe.paper(epochs=3).epochs == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("halve_every", 0),
        ("momentum", 1.0),
        ("dropout", -0.1),
        ("agreement", -1.0),
        ("output", "tanh"),
        ("select", "accuracy"),
        ("patience", 0),
        ("fusion", "cca"),
        ("precision", "float16"),
    ],
)
def test_recipes_out_of_range_name_the_parameter(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be .*, got {value!r}$"):
        Recipe.demo(**{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"select": "cross_entropy"}, "select must be 'loss' with dcl, got 'cross_entropy'"),
        ({"latent": 1}, "latent must be at least 2, got 1"),
        ({"batch_size": 7, "latent": 4}, "batch_size must be at least twice latent, 8, got 7"),
        ({"fusion": "dcca", "select": "cross_entropy"}, "select must be 'loss' with dcca, got 'cross_entropy'"),
    ],
)
def test_what_dcl_and_dcca_cannot_be_trained_with_is_refused(changes, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Recipe.features(**changes)


def test_rules_and_the_smallest_batch_are_those_of_the_loss():
    assert Recipe.demo().rules == ("cross_entropy", "loss")
    assert Recipe.demo(batch_size=32, latent=7).smallest_batch == 2
    for fusion in ("dcl", "dcca"):
        assert Recipe.features(fusion).rules == ("loss",)
    batches = {(32, 2): 16, (32, 4): 32, (32, 8): 32, (8, 2): 8}
    for (batch_size, latent), smallest in batches.items():
        assert Recipe.features(batch_size=batch_size, latent=latent).smallest_batch == smallest


def test_the_feature_recipe_is_the_demos_but_for_what_dcl_needs():
    demo, features = (dataclasses.asdict(recipe) for recipe in (Recipe.demo(), Recipe.features()))
    changed = {name for name, value in features.items() if demo[name] != value}
    assert changed == {"fusion", "select", "batch_size", "learning_rate"}
    assert features["batch_size"] >= 8 * features["latent"]  # below, noise correlates
    assert Recipe.features("dcca", epochs=3) == dataclasses.replace(Recipe.features(), fusion="dcca", epochs=3)
