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
    ],
)
def test_recipes_out_of_range_name_the_parameter(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be .*, got {value!r}$"):
        Recipe.demo(**{name: value})
