"""The script that measures a GPU runs from end to end on a CPU, and says so where there is no GPU."""

import pandas as pd
import pytest
import torch

from tests.benchmarks import gpu


def test_everything_is_measured_in_one_call(tmp_path, capsys):
    out = tmp_path / "gpu.csv"
    gpu.main(["--quick", "--device", "cpu", "--out", str(out)])
    table = pd.read_csv(out).set_index(["measure", "precision"])
    assert {"the paper's recipe", "4 networks", "all maps"} <= set(table.index.get_level_values(0))
    assert (table.loc[table["unit"] == "s", "value"] > 0).all()
    against = [name for name in table.index.get_level_values(0) if name.startswith("against a CPU")]
    assert len(against) == 3
    assert (table.loc[against, "value"] == 0).all()  # a CPU against itself
    assert (table.loc["two runs, last epoch", "value"] == 0).all()
    among = table.loc[("a network alone against among others, first epoch", "float32"), "value"]
    assert among < 1e-3
    assert out.with_suffix(".json").is_file()
    assert "the paper's recipe" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_nothing_is_written_as_if_there_were_one(tmp_path, capsys):
    for arguments, message in (([], "finds no GPU here"), (["--quick"], "name another file by --out")):
        with pytest.raises(SystemExit):
            gpu.main(arguments)
        assert message in capsys.readouterr().err
