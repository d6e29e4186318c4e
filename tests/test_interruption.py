"""Ctrl-C, SIGTERM and SIGHUP: one line, exit code 130, 143 or 129, nothing half written, wherever the command is."""

import signal
import subprocess
import sys

import pytest
from conftest import ROOT

# A command that is at work when it says so. BUSY is Python, or C that returns to Python after minutes only.
COMMAND = """
import hashlib, signal, sys
from pathlib import Path
from jacdb import interruption
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background, or under nohup, have these ignored
signal.signal(signal.SIGHUP, signal.SIG_DFL)
with interruption.handled():
    from jacdb.atomic_file import draft_of
    interruption.advise("finished parts are kept; repeat the command to resume")
    kept, out = Path("kept"), Path("out.png")
    with interruption.at_stop(lambda: kept.write_text("all of it")), draft_of(out) as draft:
        try:
            draft.write_text("half of it")
            print("at work", flush=True)
            BUSY
        finally:
            kept.write_text("all of it")
            raise RuntimeError("as DuckDB makes of an interruption")
"""
BUSY = {
    "Python": "while True: pass",
    "C": "hashlib.pbkdf2_hmac('sha256', b'', b'', 2_000_000_000)",
}


def stopped(program: str, how: signal.Signals, folder, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program until it prints a line, send it a signal, and wait for its end."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:  # without a buffer, for `communicate` does not give what one has read ahead
        assert process.stdout and process.stdout.readline() == b"at work\n", process.stderr.read()
        process.send_signal(how)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()  # whatever has failed, nothing waits for it
        return subprocess.CompletedProcess(words, process.returncode, out.decode(), err.decode())


@pytest.mark.parametrize("busy", BUSY)
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_users_10_a_signal_ends_the_command_in_one_line(busy, how, code, tmp_path):
    ran = stopped(COMMAND.replace("BUSY", BUSY[busy]), how, tmp_path)
    line = "jacdb: stopped; finished parts are kept; repeat the command to resume\n"
    assert (ran.returncode, ran.stderr) == (code, line)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"], "what must be kept is, and the draft is gone"
    assert (tmp_path / "kept").read_text() == "all of it"


@pytest.mark.slow
def test_users_10_a_query_at_work_in_duckdb_is_stopped(tmp_path):
    program = """
import sys
from jacdb.__main__ import main
from jacdb.dataset import sandbox
fetch = sandbox.fetch
def told(*arguments):
    print("at work", flush=True)
    return fetch(*arguments)
sandbox.fetch = told
main()
"""
    query = "select sum(a.range * b.range) from range(10000000) a, range(10000000) b"
    words = "sql", query, "--data", str(ROOT / "datasets" / "sample")
    ran = stopped(program, signal.SIGINT, tmp_path, *words)
    assert (ran.returncode, ran.stderr) == (130, "jacdb: stopped; repeat the command to begin anew\n")
    assert ran.stdout == ""


@pytest.mark.parametrize("busy", BUSY)
def test_a_terminal_that_is_closed_hangs_up_more_than_once(busy, tmp_path):
    again = '(os.kill(os.getpid(), signal.SIGHUP), time.sleep(0.2), kept.write_text("all of it"))'
    program = COMMAND.replace('kept.write_text("all of it")', again).replace("BUSY", BUSY[busy])
    ran = stopped(f"import os, signal, time\n{program}", signal.SIGHUP, tmp_path)
    assert (ran.returncode, [path.name for path in tmp_path.iterdir()]) == (129, ["kept"])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP])
def test_users_10_who_ignores_a_signal_goes_on_ignoring_it(how, tmp_path):
    """As the shell starts background jobs, and nohup."""
    program = f"""
import os, signal
signal.signal({how:d}, signal.SIG_IGN)
from jacdb import interruption
with interruption.handled():
    print("at work", flush=True)
    os.kill(os.getpid(), {how:d})
print("done")
"""
    ran = stopped(program, how, tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
