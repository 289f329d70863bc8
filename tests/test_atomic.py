"""Files and folders are written whole, by one at a time, whatever stops the writer."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vlae import atomic
from vlae.atomic import WriteError

HOLD = """
import sys, time
from pathlib import Path
from vlae.atomic import locked
with locked(Path(sys.argv[1]), "trains in here", "leave"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process, which holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / ".lock"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_is_told_who_the_first_is(tmp_path, holder):
    words = rf"another process \(pid {holder.pid} on {os.uname().nodename}\) trains in here; wait until it has ended"
    with pytest.raises(WriteError, match=words), atomic.locked(tmp_path / ".lock", "trains in here", "leave"):
        pytest.fail("two are in")


def test_a_killed_holder_opens_the_lock(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".lock").exists()
    with atomic.locked(tmp_path / ".lock", "", ""):
        pass
    assert not any(tmp_path.iterdir())


def test_a_lock_of_this_process_holds_for_its_threads(tmp_path):
    with atomic.locked(tmp_path / "a", "writes", "leave"):
        with pytest.raises(WriteError, match=f"pid {os.getpid()}"), atomic.locked(tmp_path / "a", "writes", "leave"):
            pytest.fail("two are in")
        with atomic.locked(tmp_path / "b", "", ""):
            pass
    with atomic.locked(tmp_path / "a", "", ""):
        pass


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b'{"pid": "x", "host": 1}', b"\xff", b"9" * 5000])
def test_whatever_a_lock_holds_it_is_no_error(tmp_path, content):
    with atomic.locked(tmp_path / "a", "", ""):
        (tmp_path / "a").write_bytes(content)
        with (
            pytest.raises(WriteError, match="another process writes; wait"),
            atomic.locked(tmp_path / "a", "writes", "go"),
        ):
            pytest.fail("two are in")


def test_two_threads_that_write_one_file_leave_one_of_theirs(tmp_path):
    begun = threading.Barrier(2)

    def write(letter):
        with atomic.whole(tmp_path / "file") as partial:
            begun.wait()
            partial.write_text(letter * 10_000)
            begun.wait()

    threads = [threading.Thread(target=write, args=letter) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_text() in ("a" * 10_000, "b" * 10_000)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_what_killed_processes_left_is_removed_after_two_days(tmp_path):
    old, young, others = (tmp_path / name for name in (".a.txt.12.ff", ".a.txt.13.ff", ".b.txt.12.ff"))
    for file in (old, young, others):
        file.write_text("half")
    for file in (old, others):
        os.utime(file, (time.time() - 3 * 24 * 3600,) * 2)
    with atomic.whole(tmp_path / "a.txt") as partial:
        partial.write_text("new")
    assert {file.name for file in tmp_path.iterdir()} == {"a.txt", young.name, others.name}


def test_a_folder_is_whole_or_not_there(tmp_path):
    for error in (OSError(errno.ENOSPC, "full"), KeyboardInterrupt()):
        with pytest.raises((WriteError, KeyboardInterrupt)), atomic.whole_folder(tmp_path / "new" / "a") as partial:
            (partial / "half").write_text("half")
            raise error
        assert not any((tmp_path / "new").iterdir())
    (tmp_path / "new" / "a").mkdir()  # an empty one may be used
    with atomic.whole_folder(tmp_path / "new" / "a") as partial:
        (partial / "file").write_text("whole")
    assert [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.*")] == []
    assert (tmp_path / "new" / "a" / "file").read_text() == "whole"
    with pytest.raises(WriteError, match="exists already; choose another place"), atomic.whole_folder(tmp_path / "new"):
        pytest.fail("it was written over")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "make room, then do the same again"),
        (errno.EDQUOT, "make room, then do the same again"),
        (errno.EACCES, "allow writing there, or choose another place"),
    ],
)
def test_the_advice_names_no_option_that_a_command_may_lack(number, advice):
    with pytest.raises(WriteError) as caught, atomic.writing(Path("x")):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == f"x cannot be written ({os.strerror(number)}); {advice}"
