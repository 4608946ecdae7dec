"""What is left from files to a cohort is drawn as counted, and counts of few real people are hidden."""

import pandas as pd
import xarray as xr

from gcamccl_core.report.disclosure import mask_small_counts
from gcamccl_core.report.publishing import render_png
from gcamccl_core.report.raw_figures import alt_what_is_left, plot_what_is_left

PEOPLE = pd.DataFrame({"step": ["in the table", "scanned", "used"], "people": [200, 40, 7]})
SNPS = pd.DataFrame({"step": ["as given", "autosomes"], "snps": [1200, 980]})


def texts(ax):
    return [text.get_text().strip() for text in ax.texts]


def test_bars_and_words_are_the_counts_in_the_order_of_the_steps():
    people, snps = plot_what_is_left(PEOPLE, SNPS).axes
    assert [bar.get_width() for bar in people.patches] == [200, 40, 7]
    assert [bar.get_width() for bar in snps.patches] == [1200, 980]
    assert texts(people) == ["200 people", "40 people", "7 people"]
    assert texts(snps) == ["1,200", "980"]
    for ax, table in ((people, PEOPLE), (snps, SNPS)):
        tops = [bar.get_y() for bar in ax.patches]
        assert tops == sorted(tops, reverse=True)  # the first step on top
        by_place = dict(zip(ax.get_yticks(), [label.get_text() for label in ax.get_yticklabels()], strict=True))
        assert [name for _, name in sorted(by_place.items(), reverse=True)] == table["step"].tolist()
    alt = alt_what_is_left(PEOPLE, SNPS)
    assert "scanned: 40 people" in alt
    assert "autosomes: 980 SNPs" in alt


def test_without_genotypes_the_panel_says_what_is_lacking():
    figure = plot_what_is_left(PEOPLE)
    assert "plink2" in texts(figure.axes[1])[0]
    assert "No genotypes were read" in alt_what_is_left(PEOPLE)
    assert render_png(figure, "alt")


def test_of_controlled_people_a_small_count_is_hidden_in_figure_and_words():
    asked = plot_what_is_left(PEOPLE, SNPS), alt_what_is_left(PEOPLE, SNPS)
    figure, alt = mask_small_counts(asked, xr.Dataset(attrs={"access": "controlled"}))
    assert texts(figure.axes[0]) == ["200 people", "40 people", "<10 people"]
    assert "used: <10 people" in alt
