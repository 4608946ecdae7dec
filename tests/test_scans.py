"""From scans to connectivity, on files whose truth is known: what each subject gives, and why others do not."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from gcamccl_core.data import kept_series, scan_processing
from gcamccl_core.data.connectivity import estimate_connectivity
from gcamccl_core.data.raw_scans import FAULTS, write_scans
from gcamccl_core.data.regions import power_spheres, read_labels
from gcamccl_core.data.scan_processing import ScanSettings, process_scans, read_series
from gcamccl_core.data.scan_quality import Limits
from gcamccl_core.data.scan_views import make_connectivity_view
from gcamccl_core.data.scans import ScanTableError, find_scans, read_scan_table
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.data.time_series import ScanError
from gcamccl_core.disk_faults import StorageError
from gcamccl_core.kept_files import DamageWarning


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Six scans with a fault each and three without, and the series that were planted in them."""
    cohort = simulate_cohort(9, seed=0, progress=False)
    subjects = [str(name).replace("_", "") for name in cohort["subject"].to_numpy()]
    folder = tmp_path_factory.mktemp("derivatives")
    planted = write_scans(
        cohort.assign_coords(subject=subjects), folder, dict(zip(subjects, FAULTS, strict=False)), progress=False
    )
    return folder, dict(zip(subjects, planted, strict=True)), dict(zip(FAULTS, subjects, strict=False))


@pytest.fixture(scope="module")
def processed(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("series")
    return process_scans(find_scans(study[0]), power_spheres(), out, progress=False), out


def test_every_subject_is_used_or_listed_with_its_reason(study, processed):
    table, out = processed
    _, _, faulty = study
    found = table.set_index("subject")
    reasons = {
        "moved too much": ("excluded", "the head moved by 3.* mm, more than 2"),
        "no run": ("failed", "there is no preprocessed scan"),
        "truncated": ("failed", r"bold\.nii\.gz is truncated or damaged"),
        "wrong repetition time": ("failed", "the repetition time is 2 s in the sidecar or table, 3 s in the image"),
        "cut off": ("used", ""),
        "no confounds": ("failed", "there is no table of confounds"),
    }
    for fault, (status, reason) in reasons.items():
        row = found.loc[faulty[fault]]
        assert row["status"] == status
        assert pd.Series([row["reason"]]).str.contains(reason).all()
    assert (found.loc[~found.index.isin(faulty.values()), "status"] == "used").all()
    assert found.loc[faulty["cut off"], "n_regions"] < 264
    pd.testing.assert_frame_equal(
        pd.read_csv(out / "scans.csv", keep_default_na=False, na_values=[""])["subject"].to_frame(), table[["subject"]]
    )


def test_connectivity_comes_back_as_it_was_planted(study, processed):
    """Within the noise that was added: 2.5 hundredths on average, a rank of edges that correlates above .95."""
    table, out = processed
    _, planted, _ = study
    order = power_spheres().names
    for subject in table.loc[table["status"] == "used", "subject"]:
        series = read_series(out, subject)
        columns = [order.index(name) for name in series.regions]
        found = estimate_connectivity([series.signal])[0]
        truth = estimate_connectivity([planted[subject][:, columns]])[0]
        edges = np.triu_indices(len(columns), k=1)
        assert np.abs(found[edges] - truth[edges]).mean() < 0.035
        assert np.corrcoef(found[edges], truth[edges])[0, 1] > 0.95


def test_motion_that_is_not_regressed_out_spoils_it(study, tmp_path):
    """The artefact of the six parameters is in the files: without the regression, connectivity is wrong."""
    folder, planted, _ = study
    scans = find_scans(folder).iloc[[-1]]
    process_scans(scans, power_spheres(), tmp_path, ScanSettings(confounds=()), progress=False)
    subject = scans["subject"].item()
    found = estimate_connectivity([read_series(tmp_path, subject).signal])[0]
    edges = np.triu_indices(264, k=1)
    assert np.abs(found[edges] - estimate_connectivity([planted[subject]])[0][edges]).mean() > 0.1


def test_a_region_that_one_lacks_costs_that_one_and_a_region_that_many_lack_is_left_out(study, processed):
    table, out = processed
    subject = study[2]["cut off"]
    view, subjects, regions = make_connectivity_view(out, table, region_lacking=0.3)
    assert view.sizes == {"subject": 3, "roi_i": 264, "roi_j": 264}
    assert subjects.set_index("subject").loc[subject, "reason"].startswith("88 regions not covered: ")
    view, subjects, regions = make_connectivity_view(out, table, region_lacking=0.2)
    assert view.sizes == {"subject": 4, "roi_i": 176, "roi_j": 176}
    assert subject in view["subject"].to_numpy()
    assert regions["kept"].sum() == 176
    assert (regions.loc[~regions["kept"], "lacking"] == 0.25).all()
    with pytest.raises(ScanError, match="no scan can be used: 4 failed, 1 excluded"):
        make_connectivity_view(out, table[table["status"] != "used"])


def test_a_rerun_reads_no_scan_again_but_those_that_failed_and_what_changed(study, processed, tmp_path, monkeypatch):
    table, out = processed
    read = []
    monkeypatch.setattr(scan_processing, "_load", lambda path: read.append(path) or 1 / 0)
    kept = shutil.copytree(out, tmp_path / "series")
    failed = table["status"] == "failed"
    again = process_scans(find_scans(study[0]), power_spheres(), kept, progress=False)
    assert {Path(path).parent.parent.name for path in read} <= {f"sub-{name}" for name in table.loc[failed, "subject"]}
    pd.testing.assert_frame_equal(again[~failed], table[~failed])
    monkeypatch.undo()
    again = process_scans(find_scans(study[0]), power_spheres(), kept, progress=False)
    pd.testing.assert_frame_equal(again, table)
    stricter = ScanSettings(limits=Limits(sfnr=1e6))
    last = find_scans(study[0]).iloc[[-1]]
    row = process_scans(last, power_spheres(), kept, stricter, progress=False).iloc[0]
    assert row["status"] == "excluded"
    assert "below 1e+06" in row["reason"]


def test_several_processes_give_the_same(study, processed, tmp_path):
    table, out = processed
    some = find_scans(study[0]).iloc[-2:]
    both = process_scans(some, power_spheres(), tmp_path, jobs=2, progress=False)
    pd.testing.assert_frame_equal(both, table.iloc[-2:].reset_index(drop=True), check_dtype=False)
    for subject in some["subject"]:
        np.testing.assert_array_equal(read_series(tmp_path, subject).signal, read_series(out, subject).signal)


def test_fmriprep_confounds_are_nilearns(study, tmp_path):
    """With load_confounds, the six parameters give what the six columns do."""
    scans = find_scans(study[0]).iloc[[-1]]
    motion = {"strategy": ["motion"], "motion": "basic"}
    by_name, by_strategy = (
        process_scans(scans, power_spheres(), tmp_path / name, ScanSettings(confounds=confounds), progress=False)
        for name, confounds in (("names", ScanSettings().confounds), ("strategy", motion))
    )
    assert by_name["status"].item() == by_strategy["status"].item() == "used"
    subject = scans["subject"].item()
    np.testing.assert_allclose(
        read_series(tmp_path / "names", subject).signal, read_series(tmp_path / "strategy", subject).signal, atol=1e-3
    )


def write_minimal(folder, name, end="desc-preproc_bold.nii.gz"):
    path = folder / "func" / f"{name}_{end}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def test_a_folder_of_derivatives_is_read_by_its_names(tmp_path):
    space = "space-MNI152NLin2009cAsym"
    bold = write_minimal(tmp_path / "sub-01" / "ses-a", f"sub-01_ses-a_task-nback_run-1_{space}_res-2")
    mask = write_minimal(
        tmp_path / "sub-01" / "ses-a", f"sub-01_ses-a_task-nback_run-1_{space}_res-2", "desc-brain_mask.nii.gz"
    )
    write_minimal(tmp_path / "sub-01" / "ses-a", f"sub-01_ses-a_task-rest_run-1_{space}_res-2")
    write_minimal(tmp_path / "sub-01" / "ses-a", "sub-01_ses-a_task-nback_run-1_space-T1w")
    confounds = write_minimal(
        tmp_path / "sub-01" / "ses-a", "sub-01_ses-a_task-nback_run-1", "desc-confounds_timeseries.tsv"
    )
    bold.with_name(bold.name.replace(".nii.gz", ".json")).write_text(json.dumps({"RepetitionTime": 0.8}))
    write_minimal(tmp_path / "sub-02", f"sub-02_task-nback_{space}_res-2")
    unasked = find_scans(tmp_path)
    assert pd.Series(unasked["fault"][0]).str.contains(r"there are 2 scans, .*nback.*, .*rest.*; choose by task").all()
    assert unasked["bold"].eq("").tolist() == [True, False]
    with pytest.raises(ScanTableError, match=r"of every subject, and so of sub-01, there are 2 scans"):
        find_scans(shutil.copytree(tmp_path / "sub-01", tmp_path / "one" / "sub-01").parent)
    shutil.rmtree(tmp_path / "one")
    table = find_scans(tmp_path, task="nback")
    pd.testing.assert_frame_equal(find_scans(tmp_path, task="nback", run="01"), table)  # none is named: the first
    first, second = table.iloc[0], table.iloc[1]
    assert first[["subject", "session", "run", "bold", "mask", "confounds"]].tolist() == [
        "01", "a", "1", str(bold), str(mask), str(confounds)
    ]  # fmt: skip
    assert first["repetition_time"] == 0.8
    assert second[["mask", "confounds"]].tolist() == ["", ""]
    assert np.isnan(second["repetition_time"])
    assert find_scans(tmp_path, task="nback", space="T1w")["bold"].str.contains("T1w").tolist() == [True, False]
    with pytest.raises(ScanTableError, match="there is no folder"):
        find_scans(tmp_path / "none")
    with pytest.raises(ScanTableError, match="has no folder sub-…; is it the folder of derivatives"):
        find_scans(tmp_path / "sub-02")


def test_a_table_of_scans_is_checked_before_any_is_read(tmp_path):
    path = tmp_path / "scans.csv"
    with pytest.raises(ScanTableError, match="there is no file"):
        read_scan_table(path)
    path.write_text("subject,bold,repetition_time\nsub-a,a.nii,2\nb,sub/b.nii,\n")
    table = read_scan_table(path)
    assert table["bold"].tolist() == [str(tmp_path / "a.nii"), str(tmp_path / "sub" / "b.nii")]
    assert table["subject"].tolist() == ["a", "b"]
    assert table["mask"].tolist() == ["", ""]
    assert np.isnan(table["repetition_time"][1])
    for text, message in {
        "subject,image\n": r"scans\.csv has no column bold, repetition_time; it has subject, image",
        "subject,bold,repetition_time\n,a.nii,2\n": r"scans\.csv, line 2: the subject has no name",
        "subject,bold,repetition_time\na,a.nii,2\na,b.nii,2\n": r"lists subjects twice: a; give each one scan",
    }.items():
        path.write_text(text)
        with pytest.raises(ScanTableError, match=message):
            read_scan_table(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bold": "none.nii"}, r"there is no file .*none\.nii"),
        ({"repetition_time": np.nan}, "no sidecar or table says the repetition time"),
        ({"repetition_time": 0.05}, "the repetition time is 0.05 s in the sidecar or table, 2 s in the image"),
        ({"confounds": ""}, "there is no table of confounds"),
        ({"bold": "zero.nii"}, "no region of the atlas lies in the scan and its mask, where there is a signal"),
        ({"confounds": "short.csv"}, "the table of confounds has 2 rows, the scan 40 volumes"),
        ({"confounds": "other.csv"}, "the table of confounds has no column trans_x, trans_y, trans_z, rot_x, rot_y"),
        ({"confounds": "missing.csv"}, "the confounds have missing values in rot_z"),
        ({"bold": "still.nii"}, r"the scan has the shape \(6, 6, 6\); it takes 30 volumes"),
        ({"bold": "text.nii"}, r"text\.nii is truncated or damaged"),
        ({"mask": "empty.nii"}, "no region of the atlas lies in the scan and its mask"),
        ({"bold": "far.nii", "mask": ""}, "no region of the atlas lies in the scan and its mask"),
        ({"bold": "nan.nii"}, "values that are no number"),
    ],
)
def test_a_scan_that_cannot_be_used_is_listed_with_the_reason(tmp_path, changes, reason):
    rng = np.random.default_rng(0)
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = [-35, -108, -20]
    values = 1000 + rng.standard_normal((6, 6, 6, 40)).astype("float32")

    def save(name, data, affine=affine):
        image = nib.Nifti1Image(data, affine)
        if data.ndim == 4:
            image.header.set_xyzt_units("mm", "msec")
            image.header.set_zooms((4, 4, 4, 2000))
        nib.save(image, tmp_path / name)

    save("good.nii", values)
    save("still.nii", values[..., 0])
    save("zero.nii", np.zeros_like(values))
    save("far.nii", values, np.diag([4.0, 4, 4, 1]) + np.array([[0, 0, 0, 900]] * 3 + [[0] * 4]))
    save("nan.nii", np.where(rng.random(values.shape) < 0.5, np.nan, values))
    save("mask.nii", np.ones((6, 6, 6), dtype="uint8"))
    save("empty.nii", np.zeros((6, 6, 6), dtype="uint8"))
    (tmp_path / "text.nii").write_text("no image")
    motion = pd.DataFrame(0.01 * rng.standard_normal((40, 6)), columns=list(ScanSettings().confounds))
    motion.to_csv(tmp_path / "motion.csv", index=False)
    motion[:2].to_csv(tmp_path / "short.csv", index=False)
    motion.rename(columns=str.upper).to_csv(tmp_path / "other.csv", index=False)
    motion.assign(rot_z=np.nan).to_csv(tmp_path / "missing.csv", index=False)
    scan = {"subject": "a", "session": "", "run": "", "bold": "good.nii", "mask": "mask.nii", "confounds": "motion.csv"}
    scan |= {"repetition_time": 2.0} | changes
    paths = {name: str(tmp_path / scan[name]) if scan[name] else "" for name in ("bold", "mask", "confounds")}
    settings = ScanSettings(limits=Limits(sfnr=None), least_coverage=0.1, band=(0.02, 0.1))
    table = process_scans(pd.DataFrame([scan | paths]), power_spheres(), tmp_path / "out", settings, progress=False)
    assert table["status"].item() == "failed"
    assert table["reason"].str.contains(reason).all(), table["reason"].item()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scans.csv"]


def test_a_run_that_is_killed_between_two_files_vouches_for_neither(study, processed, tmp_path, monkeypatch):
    table, out = processed
    kept, last = shutil.copytree(out, tmp_path / "series"), find_scans(study[0]).iloc[[-1]]
    subject = last["subject"].item()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(kept_series, "write_sealed", killed)
    with pytest.raises(KeyboardInterrupt):
        process_scans(last, power_spheres(), kept, ScanSettings(smoothing=8.0), progress=False)
    monkeypatch.undo()
    with pytest.raises(ScanError, match=r"the series of .* were made anew, otherwise; process the scans again"):
        make_connectivity_view(kept, table, region_lacking=0.3)
    process_scans(last, power_spheres(), kept, progress=False)
    np.testing.assert_array_equal(read_series(kept, subject).signal, read_series(out, subject).signal)


@pytest.mark.parametrize("ending", [".npz", ".json"])
def test_a_damaged_series_is_named_and_made_anew(study, processed, tmp_path, ending):
    kept, last = shutil.copytree(processed[1], tmp_path / "series"), find_scans(study[0]).iloc[[-1]]
    path = kept / f"{last['subject'].item()}{ending}"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.warns(DamageWarning, match=rf"{path.name} is damaged.*the scan is processed anew"):
        process_scans(last, power_spheres(), kept, progress=False)
    fresh, first = (read_series(folder, last["subject"].item()) for folder in (kept, processed[1]))
    np.testing.assert_array_equal(fresh.signal, first.signal)


def test_a_disk_that_is_full_stops_the_run_instead_of_failing_every_scan(study, tmp_path, monkeypatch):
    def full(*_):
        raise StorageError(28, "the disk is full")

    monkeypatch.setattr(scan_processing, "keep_series", full)
    with pytest.raises(StorageError, match="the disk is full"):
        process_scans(find_scans(study[0]).iloc[[-1]], power_spheres(), tmp_path, progress=False)


def test_an_atlas_of_the_same_numbers_at_another_place_is_another(study, tmp_path):
    last = find_scans(study[0]).iloc[[-1]]
    scan = nib.load(last["bold"].item())
    numbers = np.zeros(scan.shape[:3], dtype="int16")
    numbers[15:20, 20:25, 20:25], numbers[22:27, 20:25, 20:25] = 1, 2
    flipped = scan.affine @ np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = -scan.affine[0, 3] * 0.9
    series = []
    for affine in (scan.affine, flipped):
        process_scans(last, read_labels(nib.Nifti1Image(numbers, affine)), tmp_path, progress=False)
        series.append(read_series(tmp_path, last["subject"].item()).signal)
    assert not np.allclose(*series)


def test_motion_that_nobody_measured_is_said_to_be_unknown(study, tmp_path):
    last = find_scans(study[0]).iloc[[-1]].assign(confounds="")
    settings = ScanSettings(confounds=())
    row = process_scans(last, power_spheres(), tmp_path, settings, progress=False).iloc[0]
    assert (row["status"], row["reason"]) == (
        "excluded", "how far the head moved is not known; Limits(translation=None) does without"
    )  # fmt: skip
    settings = ScanSettings(confounds=(), limits=Limits(translation=None))
    assert process_scans(last, power_spheres(), tmp_path, settings, progress=False)["status"].item() == "used"


def test_a_scan_with_a_flipped_bit_is_found_by_its_checksum(study, tmp_path):
    last = find_scans(study[0]).iloc[[-1]].copy()
    damaged = bytearray(Path(last["bold"].item()).read_bytes())
    damaged[-9] ^= 1
    (tmp_path / "bold.nii.gz").write_bytes(damaged)
    last["bold"] = str(tmp_path / "bold.nii.gz")
    row = process_scans(last, power_spheres(), tmp_path / "out", progress=False).iloc[0]
    assert row["status"] == "failed"
    assert "bold.nii.gz is truncated or damaged" in row["reason"]


def test_a_subject_whose_name_is_no_name_of_a_file_is_refused(study, tmp_path):
    scans = find_scans(study[0]).iloc[[-1]].assign(subject="../evil")
    with pytest.raises(ScanError, match=r"subjects need names of letters, digits, _, \+ and -; not so: \.\./evil"):
        process_scans(scans, power_spheres(), tmp_path / "out", progress=False)
    assert not (tmp_path / "evil.npz").exists()
