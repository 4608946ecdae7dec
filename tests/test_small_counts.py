"""Counts of few people are found in whatever a chapter shows, and chapters hide them of a controlled cohort."""

import ast
import contextlib
import io

import nbformat
import pandas as pd
import pytest
from matplotlib.text import Text
from nbformat.v4 import new_code_cell, new_output
from test_disclosure import CONTROLLED, NOTEBOOKS, printed, search, shown

from gcamccl_core.data.cohort import save_cohort
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.report.disclosure import mask_small_counts
from gcamccl_core.report.small_counts import few_in_words

TABLES = {  # as the chapters make them, of a cohort of few
    "1": pd.Series(
        {"subjects": 60, "class_low": 12, "train": 16, "test": 4, "features_snp": 9}, name="count"
    ).to_frame(),
    "3": pd.DataFrame([[12, 3]], columns=pd.MultiIndex.from_product([["train", "validation"], ["low"]])),
    "5": pd.DataFrame([{"low": 3, "high": 14}], index=pd.RangeIndex(1, name="split")),
    "7": pd.Series({"fc": "48 x 48", "train": "16 subjects", "test": "4 subjects"}, name="size").to_frame(),
    "8": pd.DataFrame([{"train": 16, "test": 4}]),
    "11 steps": pd.DataFrame({"step": ["all", "per person"], "snps_removed": [0, 4], "samples_removed": [0, 3]}),
    "11 arrays": pd.DataFrame({"array": ["a", "b"], "flipped": [4, 0], "samples_elsewhere": [0, 2]}).set_index("array"),
    "11 measured": pd.DataFrame({"translation": [0.2, 1, 1.5], "sfnr": [280.5, 300, 310]}).describe().round(2),
    "sites": pd.crosstab(pd.Series(["a"] * 3 + ["b"] * 20, name="site"), pd.Series(["x"] * 23, name="label")),
    "share": pd.DataFrame({"high": ["3 (25 %)", "12 (75 %)"]}, index=["yes", "no"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_small_counts_are_found_however_a_table_is_shown_and_can_be_hidden(tmp_path, name):
    table = TABLES[name]
    rows = ["| " + " | ".join(map(str, row)) + " |" for row in table.reset_index().to_records(index=False).tolist()]
    markdown = "\n".join(["|" + "|".join([" name "] * rows[0].count("|")) + "|", "|---|", *rows])
    plain = new_code_cell("value", outputs=[new_output("display_data", data={"text/plain": table.to_string()})])
    marked = new_code_cell("value", outputs=[new_output("display_data", data={"text/markdown": markdown})])
    for cell in (shown(table), printed(f"So:\n\n{table.to_string()}\n"), plain, marked):
        assert any("fewer than 10" in each for each in search(tmp_path, cell))
    hidden = mask_small_counts(table, CONTROLLED)
    assert "<10" in hidden.to_string()
    assert search(tmp_path, shown(hidden), printed(hidden.to_string())) == []
    assert mask_small_counts(table, CONTROLLED.assign_attrs(access="open")) is table


def test_small_counts_in_words_dictionaries_series_and_glued_numbers_are_found(tmp_path):
    said = (
        "4 subjects",
        "1 of 60 people",
        "3 of its participants",
        "4 test subjects",
        "low (n = 8)",
        "the mean of all 8, so",
    )
    for text in (*said, "1 person", "of 7 told 0.1"):
        assert len(list(few_in_words(text))) == 1, text
        assert list(few_in_words(mask_small_counts(text, CONTROLLED))) == []
    assert not list(few_in_words("40 subjects, 1.4 people, n = 12, n = 0.4, mean of 3 seeds, Table 3"))
    sizes = pd.Series({"a": 3, "b": 30}, name="size").rename_axis("site")
    assert len(search(tmp_path, shown(sizes), printed("{'failed': 4, 'n_splits': 3, 'auc': 1.0}"))) == 2
    glued = {
        "data": {"application/papermill.record/text/plain": "4"},
        "metadata": {"scrapbook": {"name": "cohort_test"}},
    }
    cell = new_code_cell("glue", outputs=[new_output("display_data", **glued)])
    assert search(tmp_path, cell) == ["03_training, cell 0: counts 4 under 'cohort_test', fewer than 10 people"]


def run_chapter(name, cohort, wanted):
    """Run those cells of a chapter that contain one of these texts here, and give them back with what they show."""
    namespace, made, outputs = {}, [], []

    def show(figure, alt):
        words = [text.get_text() for text in figure.get_figure(root=True).findobj(Text)]
        outputs.append(new_output("display_data", data={"text/plain": "\n".join(words)}, metadata={"alt": alt}))

    def glue(name, value, display):
        data = {"application/papermill.record/text/plain": repr(value)}
        outputs.append(new_output("display_data", data=data, metadata={"scrapbook": {"name": name}}))

    for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4).cells:
        if cell.cell_type == "code" and any(
            text in cell.source for text in ("# simulated, abide", "check_para", *wanted)
        ):
            body, said, outputs = ast.parse(cell.source).body, io.StringIO(), []
            last = body.pop() if isinstance(body[-1], ast.Expr) else ast.parse("None").body[0]
            with contextlib.redirect_stdout(said):
                exec(compile(ast.Module(body, []), name, "exec"), namespace)
                value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
            namespace |= {"cohort": str(cohort), "show_figure": show, "glue": glue}
            shows = shown(value).outputs if value is not None else []
            made.append(new_code_cell(cell.source, outputs=[*outputs, *printed(said.getvalue()).outputs, *shows]))
    return made


CHAPTERS = {
    "01_cohort": ("open_cohort(", "plot_cohort(", 'groupby("group")', "make_split(", "spoiled", '"subjects": data'),
    "03_training": ("open_cohort(",),
    "07_earlier_fusion": ("open_cohort(", "noise = torch"),
    "08_comparison": ("open_cohort(",),
}


@pytest.mark.parametrize("name", CHAPTERS)
def test_what_chapters_show_of_a_controlled_cohort_of_forty_is_let_through(tmp_path, name):
    """They hide what counts few themselves; of the same people under open access the search finds it."""
    cohort = simulate_cohort(n_subjects=40, progress=False)
    cohort["subject"] = [f"NDAR{number:04d}" for number in range(40)]
    found = {}
    for access in ("open", "controlled"):
        path = save_cohort(cohort.assign_attrs(access=access), tmp_path / f"{access}.nc")
        found[access] = search(tmp_path, *run_chapter(name, path, CHAPTERS[name]))
    assert any("fewer than 10" in each for each in found["open"])
    assert found["controlled"] == []
