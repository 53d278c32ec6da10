from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from whole_runs import EXACT, run, snapshot

from mixvel_core.artifacts.lock import locked
from mixvel_core.errors import MixvelError

HOLD = """
import sys
from pathlib import Path
from mixvel_core.artifacts.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_it_leaves_no_trace(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b"):
        assert (tmp_path / "a/b/.lock").exists()
    assert not list(tmp_path.iterdir())


def test_what_was_made_stays_and_what_was_there_too(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with locked(tmp_path / "empty"):
        pass
    with locked(tmp_path / "new"):
        (tmp_path / "new/file").touch()
    assert {p.name for p in tmp_path.iterdir()} == {"empty", "new"}
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["file"]


def test_it_lets_go_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "run"):
        raise ZeroDivisionError
    with locked(tmp_path / "run"):
        pass


def test_a_second_process_is_told_who_is_there_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        before = snapshot(folder)
        with pytest.raises(MixvelError, match=rf"run: in use by pid {holder.pid} on \S+; wait for it") as refused:
            run(EXACT, folder, fresh=())
        assert "\n" not in str(refused.value)
        assert snapshot(folder) == before
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    assert (folder / ".lock").exists()
    run(EXACT, folder, stage="partition")
    assert not (folder / ".lock").exists()


def test_one_that_waited_at_a_removed_file_takes_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder leaves between the moment another one opens the file and the moment it locks it."""
    take, holder = fcntl.flock, locked(tmp_path)
    holder.__enter__()

    def leave_first(file: object, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", take)
        holder.__exit__(None, None, None)
        take(file, how)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(fcntl, "flock", leave_first)
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f"pid {os.getpid()} ")
        with pytest.raises(MixvelError, match="in use"), locked(tmp_path):
            pass


def test_a_process_that_waits_takes_it_afterwards(tmp_path: Path) -> None:
    said: list[str] = []

    def work() -> None:
        with locked(tmp_path, wait=said.append):
            said.append("mine")

    thread = threading.Thread(target=work)
    with locked(tmp_path):
        thread.start()
        while not said:
            time.sleep(0.001)
        assert f"in use by pid {os.getpid()}" in said[0]
    thread.join()
    assert said[1:] == ["mine"]
