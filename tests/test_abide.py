from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gcamccl_core.data import abide, abide_sources
from gcamccl_core.data.abide import load_abide
from gcamccl_core.data.abide_sources import correlate_edges, read_connectivity, read_phenotypes
from gcamccl_core.data.cohort import load_cohort, make_split, save_cohort
from gcamccl_core.data.manifest import ManifestError, UnavailableError

N = 40
N_EDGES = 200 * 199 // 2
REGION_COLUMNS = ("roi", "network", "region", "hemisphere", "lobe")


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> dict:
    """Forty made-up people in ABIDE's form: person 3 has a dead region, person 9 the scan of person 5, and gaps."""
    rng = np.random.default_rng(0)
    ids = np.array([f"SITE_{n:07d}" for n in range(N)])
    edges = rng.uniform(-0.9, 0.9, (N, N_EDGES)).astype(np.float16)
    edges[3, 17] = np.nan
    edges[9] = edges[5]
    phenotypes = pd.DataFrame(
        {
            "FILE_ID": ids,
            "SITE_ID": np.array(["NYU", "UM_1", "KKI", "USM"])[np.arange(N) % 4],
            "DX_GROUP": 1 + np.arange(N) // 2 % 2,
            "SEX": 1 + (np.arange(N) % 5 == 0),
            "AGE_AT_SCAN": np.linspace(7, 40, N),
            "FIQ": np.where(np.arange(N) == 7, -9999, 80 + np.arange(N)).astype(float),
            "func_mean_fd": np.where(np.arange(N) == 8, np.nan, 0.1),
        }
    )
    phenotypes.loc[11, "FIQ"] = np.nan
    measures = pd.DataFrame(
        rng.normal(100, 5, (N, 4)), index=ids, columns=["lh_a_thickness", "rh_a_area", "CSF", "flat"]
    )
    measures["flat"] = 0.0
    regions = pd.DataFrame({name: [f"{name}_{n}" for n in range(200)] for name in REGION_COLUMNS})
    regions[list("xyz")] = rng.normal(0, 30, (200, 3))
    parts = {"edges": edges, "ids": ids, "phenotypes": phenotypes, "measures": measures}
    monkeypatch.setattr(abide, "read_connectivity", lambda: (parts["edges"], parts["ids"]))
    monkeypatch.setattr(abide_sources, "fetch", _unavailable)
    monkeypatch.setattr(abide_sources, "_download_phenotypes", lambda: parts["phenotypes"])
    monkeypatch.setattr(abide, "read_morphometry", lambda: parts["measures"])
    monkeypatch.setattr(abide, "read_regions", lambda: regions)
    return parts


def _unavailable(name: str) -> Path:
    raise UnavailableError(f"no {name} in this test")


def steps(cohort: xr.Dataset) -> dict[str, dict]:
    return {step["step"]: step for step in json.loads(cohort.attrs["report"])}


def test_what_is_left_out_is_found_by_content_and_reported(people) -> None:
    cohort = load_abide(fraction=0.1)
    assert cohort.sizes["subject"] == N - 2
    report = steps(cohort)
    assert report["left out: a region without signal"]["which"] == [people["ids"][3]]
    copies = report["left out: the same scan as an earlier subject"]
    assert copies["which"] == [f"{people['ids'][9]} (= {people['ids'][5]})"]
    assert copies["subjects_left"] == N - 2
    assert report["left out: constant"]["which"] == ["flat"]
    assert report["kept: FIQ unknown"]["which"] == [people["ids"][7], people["ids"][11]]
    assert report["kept: func_mean_fd unknown"]["which"] == [people["ids"][8]]


def test_views_hold_the_right_values_for_the_right_people(people) -> None:
    cohort = load_abide()
    row = int(np.flatnonzero(people["ids"] == "SITE_0000021")[0])
    matrix = cohort["fc"].sel(subject="SITE_0000021").to_numpy()
    np.testing.assert_array_equal(matrix[np.triu_indices(200, 1)], people["edges"][row].astype(np.float32))
    np.testing.assert_array_equal(matrix, matrix.T)
    assert (np.diag(matrix) == 1).all()
    assert cohort["fc"].dtype == np.float32
    np.testing.assert_allclose(
        cohort["morphometry"].sel(subject="SITE_0000021"), people["measures"].iloc[row, :3], rtol=1e-6
    )
    assert cohort["measure_quantity"].to_numpy().tolist() == ["thickness", "area", "volume"]
    assert cohort["group"].sel(subject="SITE_0000021") == "UM_1"


def test_order_of_the_tables_does_not_matter(people) -> None:
    expected = load_abide()
    people["phenotypes"] = people["phenotypes"][::-1]
    people["measures"] = people["measures"].sample(frac=1, random_state=1)
    xr.testing.assert_identical(load_abide(), expected)


def test_people_without_measures_are_left_out_and_named(people) -> None:
    people["measures"] = people["measures"].drop("SITE_0000012")
    cohort = load_abide()
    assert "SITE_0000012" not in cohort["subject"]
    assert steps(cohort)["left out: no phenotypes or no FreeSurfer measures"]["which"] == ["SITE_0000012"]


def test_labels(people) -> None:
    fiq = load_abide("fiq", fraction=0.25)
    label, score = fiq["label"].to_numpy(), fiq["score"].to_numpy()
    assert (label == 0).sum() == (label == 1).sum() == round(0.25 * 36)
    assert score[label == 0].max() < np.nanmin(score[label == -1]) < score[label == 1].min()
    assert (label[np.isnan(score)] == -1).all()

    diagnosis = load_abide("diagnosis")
    assert "score" not in diagnosis
    codes = people["phenotypes"].set_index("FILE_ID")["DX_GROUP"].loc[diagnosis["subject"].to_numpy()]
    np.testing.assert_array_equal(diagnosis["label"], codes == 1)
    assert diagnosis["label"].attrs["classes"] == ["control", "autism"]

    sex = load_abide("sex")
    women = people["phenotypes"].set_index("FILE_ID")["SEX"].loc[sex["subject"].to_numpy()] == 2
    np.testing.assert_array_equal(sex["label"], women)

    age = load_abide("age")
    np.testing.assert_array_equal(age["label"], age["score"] > np.median(age["score"]))


@pytest.mark.parametrize(
    ("label", "others"),
    [
        ("fiq", {"age", "sex", "motion", "diagnosis"}),
        ("age", {"sex", "motion", "diagnosis"}),
        ("sex", {"age", "motion", "diagnosis"}),
        ("diagnosis", {"age", "sex", "motion"}),
    ],
)
def test_the_label_is_no_covariate(people, label, others) -> None:
    cohort = load_abide(label)
    assert {name for name, variable in cohort.items() if variable.attrs.get("role") == "covariate"} == others


def test_an_unknown_label_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ValueError, match="label must be one of fiq, diagnosis, sex, age, got 'iq'"):
        load_abide("iq")


def test_a_cohort_survives_storage(people, tmp_path) -> None:
    cohort = load_abide()
    xr.testing.assert_identical(load_cohort(save_cohort(cohort, tmp_path / "abide.nc")), cohort)


@pytest.fixture
def project_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, np.ndarray]]:
    """The Preprocessed Connectomes Project on this machine: two people with series, one without; yields the series."""
    rng = np.random.default_rng(1)
    series = {name: rng.standard_normal((30, 200)).round(6) for name in ("A_0050001", "B_0050002")}
    series["B_0050002"][:, 4] = 12.0
    folder = tmp_path / "served"
    (folder / "Outputs/cpac/nofilt_noglobal/rois_cc200").mkdir(parents=True)
    for name, values in series.items():
        header = "\t".join(f"#{n}" for n in range(1, 201))
        np.savetxt(
            folder / f"Outputs/cpac/nofilt_noglobal/rois_cc200/{name}_rois_cc200.1D", values, header=header, comments=""
        )
    (folder / "Phenotypic_V1_0b_preprocessed1.csv").write_text(
        ",Unnamed: 0,SUB_ID,SITE_ID,FILE_ID,DX_GROUP,AGE_AT_SCAN,SEX,FIQ,func_mean_fd\n"
        "1,1,50001,PITT,A_0050001,1,20.5,1,-9999,0.1\n"
        "2,2,50003,PITT,no_filename,1,21.5,1,100,0.1\n"
        "3,3,50002,NYU,B_0050002,2,22.5,2,110,\n"
    )
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setattr(abide_sources, "PREPROCESSING", {**abide_sources.PREPROCESSING, "url": address})
        yield series
        running.shutdown()


def test_files_come_through_nilearn_where_no_mirror_has_them(project_server, alone, monkeypatch) -> None:
    edges, subjects = read_connectivity()
    assert subjects.tolist() == ["A_0050001", "B_0050002"]
    expected = np.corrcoef(project_server["A_0050001"].T)[np.triu_indices(200, 1)]
    np.testing.assert_allclose(edges[0], expected, atol=5e-4)
    assert np.isnan(edges[1]).sum() == 199
    people = read_phenotypes()
    assert people.index.tolist() == subjects.tolist()
    assert np.isnan(people.loc["A_0050001", "FIQ"])
    assert people.loc["B_0050002", ["SITE_ID", "FIQ"]].tolist() == ["NYU", 110]

    monkeypatch.setattr(abide_sources, "fetch_abide_pcp", None)
    again, _ = read_connectivity()
    np.testing.assert_array_equal(again, edges, err_msg="the second time comes from the cache")


def test_no_network_says_what_to_do(monkeypatch, alone) -> None:
    def broken(**options):
        raise ConnectionError("no route")

    monkeypatch.setattr(abide_sources, "fetch_abide_pcp", broken)
    with pytest.raises(UnavailableError, match=r"no route.*GCAMCCL_MIRROR to a folder that holds abide/"):
        read_connectivity()
    assert not list(alone.rglob("*.npz"))


def test_a_truncated_file_is_an_error_not_a_reason_to_download(monkeypatch, alone, tmp_path) -> None:
    (tmp_path / "mirror/abide").mkdir(parents=True)
    (tmp_path / "mirror/abide/abide_cc200_fc.npz").write_bytes(b"PK")
    monkeypatch.setenv("GCAMCCL_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(ManifestError, match=r"abide/abide_cc200_fc\.npz.*truncated: 2 bytes"):
        read_connectivity()


@pytest.mark.shared_data
def test_stored_correlations_are_those_of_the_raw_series(mirror) -> None:
    folder = mirror("abide/rois_cc200")
    mirror("abide/abide_cc200_fc.npz")
    edges, subjects = read_connectivity()
    row = {subject: number for number, subject in enumerate(subjects)}
    files = [file for file in sorted(folder.glob("*.1D")) if file.name.removesuffix("_rois_cc200.1D") in row]
    assert len(files) == 175
    dead = [file for file in files if np.isnan(edges[row[file.name.removesuffix("_rois_cc200.1D")]]).any()]
    for file in [*files[::12], *dead[:3]]:
        stored = edges[row[file.name.removesuffix("_rois_cc200.1D")]]
        made = correlate_edges(np.loadtxt(file))
        np.testing.assert_array_equal(np.isnan(made), np.isnan(stored))
        known = ~np.isnan(stored)
        last_digit = np.spacing(np.abs(stored[known])).astype(np.float64)
        assert (np.abs(made[known].astype(np.float64) - stored[known]) <= last_digit).all(), file.name
        assert (made[known] == stored[known]).mean() > 0.999


@pytest.fixture(scope="module")
def real(mirror) -> xr.Dataset:
    for name in (
        "abide/abide_cc200_fc.npz",
        "abide/phenotypes.csv",
        "abide/aseg_table.tsv",
        "cc200/CC200_ROI_labels.csv",
    ):
        mirror(name)
    return load_abide()


@pytest.mark.shared_data
def test_real_cohort_is_as_the_conventions_say(real) -> None:
    report = steps(real)
    assert report["ABIDE I with time series"]["number"] == 1035
    assert report["left out: a region without signal"]["number"] == 46
    assert report["left out: a region without signal"]["subjects_left"] == 989
    assert report["left out: the same scan as an earlier subject"]["which"] == ["UM_1_0050286 (= UM_1_0050279)"]
    assert dict(real.sizes) == {"subject": 988, "roi_i": 200, "roi_j": 200, "roi": 200, "measure": 259}
    assert len(np.unique(real["group"])) == 20
    assert np.nanmin(real["score"]) > 40, "-9999 must not be a score"
    assert (real["label"] == 0).sum() == (real["label"] == 1).sum() == 185
    assert real.attrs["access"] == "open"
    assert "NC-SA" in real.attrs["licence"]


@pytest.mark.shared_data
def test_real_regions_are_named_and_placed(real) -> None:
    assert len(np.unique(real["roi"])) == 200
    np.testing.assert_array_equal(real["roi"], real["roi_i"])
    side, x = real["roi_hemisphere"].to_numpy(), real["roi_x"].to_numpy()
    assert (x[side == "L"] < 0).all()
    assert (x[side == "R"] > 0).all()
    occipital = real["roi_y"].to_numpy()[real["roi_lobe"] == "Occipital"]
    assert occipital.max() < -50
    assert (real["roi_network"].to_numpy() == "Visual").sum() > 10
    assert {"Lingual Gyrus", "Middle Occipital Gyrus", "Cingulate Gyrus"} <= set(real["roi_region"].to_numpy())


@pytest.mark.shared_data
def test_neighbours_and_mirror_regions_correlate_most(real) -> None:
    """Names, coordinates and matrices belong together only if nearness shows in the mean connectivity."""
    mean = real["fc"].mean("subject").to_numpy()[np.triu_indices(200, 1)]
    points = np.stack([real[f"roi_{axis}"].to_numpy() for axis in "xyz"], axis=1)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)[np.triu_indices(200, 1)]
    assert np.corrcoef(mean, distance)[0, 1] < -0.3


@pytest.mark.shared_data
def test_sites_are_never_divided(real) -> None:
    split = make_split(real, seed=1)
    sites = [set(real["group"].to_numpy()[part]) for part in (split.train, split.validation, split.test)]
    assert len(set.union(*sites)) == sum(map(len, sites))


@pytest.mark.shared_data
def test_real_phenotypes_mark_what_is_missing(mirror) -> None:
    mirror("abide/phenotypes.csv")
    table = read_phenotypes()
    assert table["FIQ"].notna().sum() == 966
    assert not (table.select_dtypes("number") == -9999).any(axis=None)
