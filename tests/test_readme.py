"""The Python lines of the README run as they stand there."""

import re
import shutil
from pathlib import Path

from tiny_recipe import tiny
from ups.data.pdebench import write_pdebench

README = Path(__file__).parents[1] / "README.md"


def test_the_python_lines_run(tiny_run, tmp_path, monkeypatch, capsys):
    (lines,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    shutil.copytree(tiny_run, tmp_path / "runs" / "burgers.quick")
    given = tiny().data.model_copy(update={"seed": 3, "num_trajectories": 5}).load()
    write_pdebench(tmp_path / "new.hdf5", given.values, given.fields, given.params, equation="advection")
    monkeypatch.chdir(tmp_path)
    exec(lines, {})
    assert capsys.readouterr().out == "torch.Size([1, 5, 40, 1, 32])\n"
