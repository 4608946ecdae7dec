"""Regions of an atlas and their series: counted by hand, averaged as numpy does, filtered as nilearn does."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn import signal

from gcamccl_core.data.manifest import region_table
from gcamccl_core.data.regions import AtlasError, power_spheres, read_labels, read_spheres
from gcamccl_core.data.scan_quality import Limits, exceeds, largest_translation, measure_sfnr
from gcamccl_core.data.time_series import ScanError, extract_time_series, find_coverage

MNI = np.diag([2.0, 2, 2, 1])
MNI[:3, 3] = [-90, -126, -72]  # of SPM's and fMRIPrep's 2 mm grid
WHOLE = {"confounds": None, "repetition_time": 2.0, "band": (None, None)}


def test_the_papers_264_spheres_hold_its_21384_voxels():
    spheres = power_spheres()
    voxels = spheres.voxels(MNI)
    assert [len(each) for each in voxels] == [81] * 264
    assert sum(map(len, voxels)) == 21_384
    assert np.abs(spheres.snapped(MNI) - region_table()[["x", "y", "z"]].to_numpy()).max() <= 1


def test_a_mask_takes_voxels_from_spheres_and_says_from_which():
    shape = (91, 109, 91)
    centre = np.indices(shape).reshape(3, -1).T @ MNI[:3, :3].T + MNI[:3, 3]
    brain = (np.square((centre - [0, -18, 8]) / [70, 88, 62]).sum(axis=1) < 1).reshape(shape)
    table = find_coverage(power_spheres(), nib.Nifti1Image(np.zeros((1, 1, 1, 2)), MNI), brain)
    assert table["expected"].eq(81).all()
    assert 15_000 < table["voxels"].sum() < 21_384
    worst = table.loc[table["coverage"].idxmin()]
    place = region_table().set_index("roi").loc[worst["roi"], ["x", "y", "z"]].to_numpy(float)
    assert np.square((place - [0, -18, 8]) / [70, 88, 62]).sum() > 0.8  # at the edge of the brain


def make_scan(seed=0, shape=(12, 12, 12), n=80, voxel=4.0):
    affine = np.diag([voxel, voxel, voxel, 1])
    affine[:3, 3] = -20
    values = np.random.default_rng(seed).standard_normal((*shape, n)).astype(np.float32) + 100
    return nib.Nifti1Image(values, affine)


TABLE = pd.DataFrame({"roi": ["a", "b", "edge", "far"], "x": [0, 9, -20, 500], "y": [0, 3, 0, 0], "z": [0, 5, 0, 0]})


@settings(max_examples=10, deadline=None)
@given(radius=st.floats(4.1, 9), seed=st.integers(0, 5))
def test_series_are_the_means_of_the_voxels_within_the_radius(radius, seed):
    bold, spheres = make_scan(seed), read_spheres(TABLE, radius)
    found = extract_time_series(bold, None, spheres, repetition_time=2.0, band=(None, None))
    assert found.regions == ["a", "b", "edge"]
    values = np.asarray(bold.dataobj)
    centre = np.indices(bold.shape[:3]).reshape(3, -1).T * 4.0 - 20
    for column, row in zip(found.signal.T, TABLE.itertuples(), strict=False):
        middle = np.round((np.array([row.x, row.y, row.z]) + 20) / 4) * 4 - 20
        inside = (np.linalg.norm(centre - middle, axis=1) <= radius).reshape(bold.shape[:3])
        mean = values[inside].mean(axis=0)
        expected = signal.clean(mean[:, None], detrend=True, standardize=None, t_r=2.0)[:, 0]
        np.testing.assert_allclose(column, expected, atol=1e-4)
        assert found.coverage.set_index("roi").loc[row.roi, "voxels"] == inside.sum()
    coverage = found.coverage.set_index("roi")["coverage"]
    assert coverage["a"] == coverage["b"] == 1
    assert 0 < coverage["edge"] < 1
    assert coverage["far"] == 0


def test_confounds_and_frequencies_are_taken_out():
    """A region of two sines and a confound: the slow sine within the band is left."""
    bold, time = make_scan(n=200), 2.0 * np.arange(200)
    slow, fast = np.sin(2 * np.pi * 0.05 * time), np.sin(2 * np.pi * 0.2 * time)
    confound = np.random.default_rng(1).standard_normal(200)
    values = np.asarray(bold.dataobj) * 0.01 + 100 + 5 * slow + 5 * fast + 20 * confound
    found = extract_time_series(
        nib.Nifti1Image(values, bold.affine), confound[:, None], read_spheres(TABLE, 5.0), repetition_time=2.0
    ).signal[:, 0]
    assert np.corrcoef(found, slow)[0, 1] > 0.95
    assert abs(np.corrcoef(found, fast)[0, 1]) < 0.05
    assert abs(np.corrcoef(found, confound)[0, 1]) < 0.05


def test_an_image_of_labels_gives_the_means_of_its_labels():
    bold = make_scan()
    numbers = np.zeros((12, 12, 12), dtype="int16")
    numbers[:4], numbers[4:8], numbers[10:] = 7, 3, 12
    names = pd.DataFrame({"value": [3, 7], "roi": ["three", "seven"]})
    atlas = read_labels(nib.Nifti1Image(numbers, bold.affine), names)
    found = extract_time_series(bold, regions=atlas, **WHOLE)
    assert found.regions == ["three", "seven"]
    for column, number in zip(found.signal.T, (3, 7), strict=True):
        mean = np.asarray(bold.dataobj)[numbers == number].mean(axis=0)
        expected = signal.clean(mean[:, None], detrend=True, standardize=None, t_r=2.0)[:, 0]
        np.testing.assert_allclose(column, expected, atol=1e-4)
    assert found.coverage["coverage"].tolist() == [1, 1]
    mask = nib.Nifti1Image((np.arange(12) < 6)[:, None, None] * np.ones((12, 12, 12), dtype="uint8"), bold.affine)
    half = extract_time_series(bold, regions=atlas, mask=mask, **WHOLE).coverage
    assert half["coverage"].tolist() == [0.5, 1]
    assert read_labels(nib.Nifti1Image(numbers, bold.affine)).names == ["region 3", "region 7", "region 12"]


def test_labels_on_another_grid_are_brought_to_the_scans():
    bold = make_scan()
    fine = np.zeros((24, 24, 24), dtype="int16")
    fine[8:16, 8:16, 8:16] = 1
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -21
    found = extract_time_series(bold, regions=read_labels(nib.Nifti1Image(fine, affine)), **WHOLE)
    assert found.coverage["voxels"].tolist() == [64]
    assert found.coverage["expected"].tolist() == [64]


@pytest.mark.parametrize("empty", [0, 3.7, -5.3])  # what a scanner's scale and offset make of nothing
def test_a_region_without_signal_is_not_covered(empty):
    bold = make_scan()
    values = np.asarray(bold.dataobj).copy()
    values[:3] = empty
    found = extract_time_series(nib.Nifti1Image(values, bold.affine), regions=read_spheres(TABLE, 5.0), **WHOLE)
    assert found.regions == ["a", "b"]
    assert found.coverage["voxels"].gt(0).tolist() == [True, True, False, False]


def test_empty_space_covers_no_region_also_without_a_mask():
    bold = make_scan()
    values = np.asarray(bold.dataobj).copy()
    center = read_spheres(TABLE, 5.0).voxels(bold.affine)[0]
    values[tuple(center[: len(center) - 1].T)] = 0  # all but one voxel of the first sphere
    found = extract_time_series(nib.Nifti1Image(values, bold.affine), regions=read_spheres(TABLE, 5.0), **WHOLE)
    assert found.coverage["voxels"].iloc[0] == 1
    rest = np.asarray(bold.dataobj)[tuple(center[-1])]
    expected = signal.clean(rest[:, None].astype(float), detrend=True, standardize=None, t_r=2.0)[:, 0]
    np.testing.assert_allclose(found.signal[:, 0], expected, atol=1e-3)


def test_a_mask_of_one_volume_is_a_mask_and_one_of_two_is_none():
    bold = make_scan()
    whole = np.ones((*bold.shape[:3], 1), dtype="uint8")
    found = extract_time_series(
        bold, regions=read_spheres(TABLE, 5.0), mask=nib.Nifti1Image(whole, bold.affine), **WHOLE
    )
    assert len(found.regions)
    with pytest.raises(ScanError, match=r"the mask has the shape \(12, 12, 12, 2\)"):
        extract_time_series(
            bold,
            regions=read_spheres(TABLE, 5.0),
            mask=nib.Nifti1Image(whole.repeat(2, axis=3), bold.affine),
            **WHOLE,
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repetition_time": 0}, "repetition time must be above 0 s, got 0"),
        ({"band": (0.1, 0.01)}, r"the band 0\.1 to 0\.01 Hz is empty"),
        ({"band": (0.01, 0.3)}, r"nothing above 0\.25 Hz can be told, and the band ends at 0\.3 Hz"),
        ({"band": (0.001, 0.1)}, "80 volumes of 2 s are shorter than one period of the lowest frequency, 0.001 Hz"),
        ({"confounds": np.zeros((79, 2))}, "the confounds have 79 rows, the scan 80 volumes"),
        ({"confounds": pd.DataFrame({"rot_x": [np.nan] * 80})}, "the confounds have missing values in rot_x"),
        ({"least_coverage": 1.1}, "no region of the atlas lies in the scan"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ScanError, match=message):
        extract_time_series(make_scan(), regions=read_spheres(TABLE, 5.0), **{**WHOLE, **changes})
    with pytest.raises(ScanError, match="a scan has four dimensions"):
        extract_time_series(make_scan().slicer[..., 0], regions=read_spheres(TABLE, 5.0), **WHOLE)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.drop(columns="z"), "the table has no column z"),
        (TABLE.iloc[:0], "the table has no region"),
        (TABLE.assign(roi="a"), "the table names regions twice: a"),
        (TABLE.assign(y=["1", "2", "x", "4"]), "the table has no coordinates for edge"),
    ],
)
def test_a_faulty_table_of_coordinates_is_refused(table, message):
    with pytest.raises(AtlasError, match=message):
        read_spheres(table, 5.0)


def test_a_faulty_image_of_labels_is_refused(tmp_path):
    for values, message in (
        (np.zeros((3, 3, 3)), "has no label but 0"),
        (np.full((3, 3, 3), 0.5), "no image of labels"),
    ):
        with pytest.raises(AtlasError, match=message):
            read_labels(nib.Nifti1Image(values, MNI))
    with pytest.raises(AtlasError, match="has no voxel of nowhere"):
        read_labels(nib.Nifti1Image(np.ones((3, 3, 3)), MNI), pd.DataFrame({"value": [2], "roi": ["nowhere"]}))
    (tmp_path / "atlas.nii").write_text("no image")
    with pytest.raises(AtlasError, match=r"atlas\.nii cannot be read as an image"):
        read_labels(tmp_path / "atlas.nii")


@given(mean=st.floats(10, 1000), noise=st.floats(0.5, 5), slope=st.floats(-5, 5))
@settings(max_examples=10, deadline=None)
def test_sfnr_is_the_mean_over_the_noise_whatever_the_drift(mean, noise, slope):
    time = np.linspace(-1, 1, 400)
    values = mean + slope * time + slope * time**2 + noise * np.random.default_rng(0).standard_normal((5, 5, 5, 400))
    whole = np.ones((5, 5, 5), dtype=bool)
    expected = (values.mean(axis=3) / noise).mean()
    assert measure_sfnr(nib.Nifti1Image(values, MNI), whole) == pytest.approx(expected, rel=0.03)
    assert np.isnan(measure_sfnr(nib.Nifti1Image(np.ones((5, 5, 5, 400)), MNI), whole))


def test_limits_are_said_in_words():
    assert exceeds(1.9, 280, Limits()) == ""
    assert exceeds(2.1, 200, Limits()) == "the head moved by 2.1 mm, more than 2; the SFNR is 200, below 275"
    assert exceeds(9, 1, Limits(None, None)) == ""
    assert exceeds(float("nan"), 300, Limits()) != ""  # unknown motion is not small motion
    moved = pd.DataFrame({"trans_x": [5.0, 5.2], "trans_y": [0.0, 0.0], "trans_z": [1.0, -1.5]})
    assert largest_translation(moved) == 2.5
