"""The table that `mixvel run` ends with."""

from __future__ import annotations

from pathlib import Path

import pytest
from whole_runs import EXACT, run

from mixvel_core.artifacts.files import read_json
from mixvel_core.cli.scores import print_scores


def test_scores_are_printed_with_what_a_sample_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    methods = ["alone", "drawn", "mixed", "guessed"]
    print_scores(tmp_path, methods, [2, 3])
    assert capsys.readouterr().out == ""
    run(EXACT, tmp_path, stage="evaluate")
    print_scores(tmp_path, methods, [2, 3])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert lines[0] == ["method", "steps", "time", "FLOP", "evaluations", "sliced-w2"]
    assert [line[:2] for line in lines[1:9]] == [[method, n] for method in methods for n in "23"]
    scores = read_json(tmp_path / "scores.json")
    assert [line[-1] for line in lines[1:9]] == [f"{row['value']:.4g}" for row in scores["rows"]]
    # Heun evaluates twice a step, the mixture three experts; a time and its unit are two words, and so may FLOPs be.
    assert [line[-2] for line in lines[1:9]] == ["2", "3", "4", "6", "6", "9", "2", "3"]
    assert [line[:3] for line in lines[9:11]] == [["real", "against", "real"], ["pure", "noise", lines[10][2]]]
    assert lines[11][-3:] == scores["timings"][0]["device"].split()
