"""From maps to lists: the paper's rule on maps small enough to apply it by hand."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from gcamccl_core.maps.selection import COLUMNS, describe_features, select_biomarkers

CLASSES = ["low", "high"]
REGIONS = ["Lingual_L_1", "Cuneus_R_2", "Lingual_R_3", "Insula_L_4"]
LABEL = np.array([1, 1, 1, 1, 0, 0])


def make_maps(fc=None, snp=None):
    """Maps of the high class in six subjects, four of them high; the low class's maps are zero but for one feature."""
    coords = {"subject": [f"s{i}" for i in range(6)], "target_class": CLASSES, "map_method": ["guided_grad_cam"]}
    variables = {"label": ("subject", LABEL)}
    dims = ("subject", "target_class", "map_method")
    if fc is not None:
        values = np.zeros((6, 2, 1, 4, 4))
        values[:, 1, 0], values[:, 0, 0, 2, 3] = fc, 1
        symmetric = (values + values.swapaxes(-1, -2)) / 2
        coords |= {
            "roi_i": REGIONS,
            "roi_j": REGIONS,
            "roi": REGIONS,
            "roi_region": ("roi", ["Lingual Gyrus", "Cuneus", "Lingual Gyrus", "Insula"]),
            "roi_network": ("roi", ["Visual", "Visual", "Visual", "Salience"]),
        }
        variables["fc"] = ((*dims, "roi_i", "roi_j"), values, {"role": "map"})
        variables["fc_symmetric"] = ((*dims, "roi_i", "roi_j"), symmetric, {"role": "symmetric map"})
    if snp is not None:
        values = np.zeros((6, 2, 1, 3))
        values[:, 1, 0], values[:, 0, 0, 2] = snp, 1
        coords |= {"locus": ["rs1", "rs2", "rs3"], "snp_gene": ("locus", ["APP", "APP", "CLU"])}
        coords |= {"snp_block": ("locus", [7, 7, 8])}
        variables["snp"] = ((*dims, "locus"), values, {"role": "map"})
    return xr.Dataset(variables, coords=coords).set_coords("label")


def of_high(table):
    return table[table["target_class"] == "high"]


def test_a_snp_is_kept_above_the_share_of_the_subjects_own_maximum():
    # Subject by subject the maximum is 1, 10, 100, 1000: rs2 is above 5 % of it in three of the four, rs3 never.
    snp = np.array([[1, 0.06, 0.05], [10, 0.6, -3], [100, 6, 0], [1000, 40, 49], [0, 0, 0], [0, 0, 0]])
    found = of_high(select_biomarkers(make_maps(snp=snp)))
    assert found["feature"].tolist() == ["rs1", "rs2"]
    assert found["frequency"].tolist() == [1.0, 0.75]
    assert found["rank"].tolist() == [1, 2]
    np.testing.assert_allclose(found["mean_value"], [1111 / 4, 46.66 / 4])
    assert found[["gene", "block"]].to_numpy().tolist() == [["APP", "7"], ["APP", "7"]]
    assert found[["roi_i", "region_j", "network_i"]].isna().all(axis=None)
    assert of_high(select_biomarkers(make_maps(snp=snp), frequency=0.75))["feature"].tolist() == ["rs1"]
    assert len(of_high(select_biomarkers(make_maps(snp=snp), threshold=0.07))) == 1


def test_an_image_gives_connections_of_the_symmetrised_upper_triangle():
    fc = np.zeros((6, 4, 4))
    fc[:4, 1, 0] = 2  # below the diagonal: the symmetrised map holds 1 on both sides
    fc[:4, 0, 3], fc[:4, 3, 0] = 4, -4  # cancels
    fc[:4, 2, 2] = 1000  # the diagonal is no connection, neither to select nor as maximum
    found = of_high(select_biomarkers(make_maps(fc=fc)))
    assert len(found) == 1
    row = found.iloc[0]
    assert row["feature"] == "Lingual_L_1 -- Cuneus_R_2"
    assert row[["roi_i", "roi_j"]].tolist() == ["Lingual_L_1", "Cuneus_R_2"]
    assert row[["region_i", "region_j"]].tolist() == ["Lingual Gyrus", "Cuneus"]
    assert row[["network_i", "network_j"]].tolist() == ["Visual", "Visual"]
    assert row["mean_value"] == 1
    assert pd.isna(row["gene"])


def test_frequency_is_counted_over_the_subjects_of_the_class():
    snp = np.zeros((6, 3))
    snp[:4] = [1, 0, 0]
    snp[4:] = [0, 0, 1]
    maps = make_maps(snp=snp)
    assert of_high(select_biomarkers(maps))["feature"].tolist() == ["rs1"]
    assert of_high(select_biomarkers(maps, subjects="all", frequency=0.6))["frequency"].tolist() == [4 / 6]
    swapped = of_high(select_biomarkers(maps, label=1 - LABEL))
    assert swapped["feature"].tolist() == ["rs3"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=6, max_size=6), st.integers(0, 2**16))
def test_the_scale_of_a_subjects_map_does_not_matter(scales, seed):
    fc = np.random.default_rng(seed).normal(size=(6, 4, 4))
    plain, scaled = (
        select_biomarkers(make_maps(fc=values), frequency=0.3).set_index(["target_class", "feature"])["frequency"]
        for values in (fc, fc * np.array(scales)[:, None, None])
    )
    pd.testing.assert_series_equal(plain.sort_index(), scaled.sort_index())


def test_a_subject_without_positive_values_keeps_nothing():
    snp = np.tile([1.0, 0, 0], (6, 1))
    snp[0] = [-1, -2, 0]
    assert of_high(select_biomarkers(make_maps(snp=snp)))["frequency"].tolist() == [0.75]


def test_truth_is_added_from_the_cohort():
    edges = np.zeros((2, 4, 4), dtype=bool)
    planted, population = edges.copy(), edges.copy()
    planted[1, 0, 1] = planted[1, 1, 0] = True
    population[1, :2, :3] = True
    cohort = xr.Dataset(
        {
            "truth_fc": (("target_class", "roi_i", "roi_j"), planted),
            "population_truth_fc": (("target_class", "roi_i", "roi_j"), population),
        },
        coords={"target_class": CLASSES, "roi_i": REGIONS, "roi_j": REGIONS},
    )
    fc = np.zeros((6, 4, 4))
    fc[:, 0, 1], fc[:, 0, 2], fc[:, 0, 3] = 3, 2, 1
    found = of_high(select_biomarkers(make_maps(fc=fc), cohort=cohort))
    assert found["planted"].tolist() == [True, False, False]
    assert found["in_population"].tolist() == [True, True, False]
    assert found["planted"].dtype == bool
    with pytest.raises(ValueError, match="no truth_fc"):
        select_biomarkers(make_maps(fc=fc), cohort=cohort.drop_vars("truth_fc"))


def test_nothing_selected_is_an_empty_table_that_says_how_near_it_came():
    snp = np.zeros((6, 3))
    snp[[0, 1, 4, 5], 0] = snp[2, 1] = 1
    maps = make_maps(snp=snp).sel(target_class=["low", "high"])
    maps["snp"][:, 0] = 0
    table = select_biomarkers(maps)
    assert table.empty
    assert list(table.columns) == COLUMNS
    assert table.attrs["notes"] == [
        "snp, low: no feature is kept in more than 70% of the subjects; the nearest, rs1, rs2, rs3, in 0%",
        "snp, high: no feature is kept in more than 70% of the subjects; the nearest, rs1, in 50%",
    ]


def test_the_table_survives_a_csv_file(tmp_path):
    fc = np.random.default_rng(0).normal(size=(6, 4, 4))
    table = select_biomarkers(make_maps(fc=fc, snp=np.ones((6, 3))), frequency=0.2)
    table.to_csv(tmp_path / "selected.csv", index=False)
    back = pd.read_csv(tmp_path / "selected.csv", dtype={"block": "str"})
    pd.testing.assert_frame_equal(back, table, check_dtype=False)
    assert set(table["view"]) == {"fc", "snp"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 1.0}, "threshold must be"),
        ({"frequency": -0.1}, "frequency must be"),
        ({"method": "cam"}, "no method 'cam'; they have guided_grad_cam"),
        ({"subjects": "some"}, "'class' or 'all'"),
        ({"label": [0, 1]}, "each of the 6 subjects"),
        ({"label": [0] * 6}, "no subject of class 'high'"),
    ],
)
def test_impossible_requests_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        select_biomarkers(make_maps(snp=np.ones((6, 3))), **arguments)


def test_features_are_described_in_their_order():
    table = describe_features(make_maps(fc=np.zeros((6, 4, 4))), "fc")
    assert table["feature"].tolist()[:3] == [f"Lingual_L_1 -- {other}" for other in REGIONS[1:]]
    assert len(table) == 6
