"""Writing files: whole or not at all, whatever goes wrong half-way."""

import contextlib
import errno
import hashlib
import math
import os
import pathlib
import resource
import subprocess
import sys
import threading

import pytest

from arch_zoo.errors import UserError
from arch_zoo.files import (
    atomic_directory,
    cache_directory,
    read_json,
    sha256_of_file,
    write_bytes_atomic,
    write_json_atomic,
    write_text_atomic,
)

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
LARGE = "é" * 100_000


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextlib.contextmanager
def small_files_only():
    """Writing more than a few thousand bytes into a file fails half-way, as it does on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def fails_at(function: str):
    """A full disk that is noticed by this function of `os`."""
    @contextlib.contextmanager
    def context():
        def fail(*arguments, **options):
            raise NO_SPACE

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, function, fail)
            yield
    return context


FULL_DISK = {"writing": small_files_only, "fsync": fails_at("fsync"), "replace": fails_at("replace")}


# --- files -------------------------------------------------------------------------------------------------------

def test_what_is_written_is_read_back_and_readable_by_others(tmp_path):
    path = tmp_path / "new" / "folder" / "file"
    for content in ("a\r\nb\n", LARGE, ""):
        write_text_atomic(path, content)
        assert path.read_bytes() == content.encode()
    write_bytes_atomic(path, b"\xff\0")
    assert path.read_bytes() == b"\xff\0" and path.stat().st_mode & 0o777 == 0o644
    assert names(path.parent) == ["file"]
    value = {"é": [1, 2.5, None, True], "": {}}
    write_json_atomic(path, value)
    assert read_json(path) == value and "é" in path.read_text(encoding="utf-8")


def test_the_limit_on_files_does_leave_a_part_behind_an_ordinary_write(tmp_path):
    with small_files_only(), pytest.raises(OSError):
        (tmp_path / "file").write_text(LARGE)
    assert 0 < (tmp_path / "file").stat().st_size < len(LARGE)


@pytest.mark.parametrize("when", FULL_DISK)
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, when):
    write_text_atomic(tmp_path / "file", "old")
    for name in ("file", "another"):
        with FULL_DISK[when](), pytest.raises(OSError):
            write_text_atomic(tmp_path / name, LARGE)
    assert names(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "old"
    write_text_atomic(tmp_path / "file", LARGE)
    assert (tmp_path / "file").read_text() == LARGE


def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    write_text_atomic(tmp_path / "file", "old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text_atomic(tmp_path / "file", "new")
    assert names(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "old"


def test_a_reader_never_sees_a_part(tmp_path):
    path, contents = tmp_path / "file", ["a" * 50_000, "b" * 70_000]
    write_text_atomic(path, contents[0])
    seen = {path.read_text()}
    writer = threading.Thread(target=lambda: [write_text_atomic(path, contents[n % 2]) for n in range(50)])
    writer.start()
    while writer.is_alive():
        seen.add(path.read_text())
    assert seen <= set(contents)


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": -math.inf}, object()])
def test_what_json_cannot_say_is_refused_before_anything_is_written(tmp_path, value):
    with pytest.raises((ValueError, TypeError)):
        write_json_atomic(tmp_path / "file", value)
    assert not names(tmp_path)


def test_json_that_is_missing_or_damaged_is_named(tmp_path):
    with pytest.raises(UserError, match="file: no such file"):
        read_json(tmp_path / "file")
    for content in (b"", b'{"a": 1', b"\xff"):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(UserError, match="file: not readable as JSON") as raised:
            read_json(tmp_path / "file")
        assert "\n" not in str(raised.value)


# --- folders -----------------------------------------------------------------------------------------------------

def test_a_folder_appears_when_it_is_complete(tmp_path):
    with atomic_directory(tmp_path / "deep" / "folder") as temporary:
        (temporary / "a").write_text("a")
        assert not (tmp_path / "deep" / "folder").exists()
    assert names(tmp_path / "deep") == ["folder"] and names(tmp_path / "deep" / "folder") == ["a"]
    assert (tmp_path / "deep" / "folder").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [NO_SPACE, UserError("bad"), KeyboardInterrupt()])
def test_a_folder_that_cannot_be_completed_never_appears(tmp_path, error):
    with pytest.raises(type(error)):
        with atomic_directory(tmp_path / "folder") as temporary:
            (temporary / "a").write_text("a")
            raise error
    assert not names(tmp_path)


def test_a_folder_that_cannot_be_renamed_leaves_nothing(tmp_path):
    with fails_at("rename")(), pytest.raises(OSError, match="No space left"):
        with atomic_directory(tmp_path / "folder") as temporary:
            (temporary / "a").write_text("a")
    assert not names(tmp_path)


def test_of_two_that_build_the_same_folder_the_first_to_finish_wins(tmp_path):
    with atomic_directory(tmp_path / "folder") as slow:
        (slow / "by").write_text("slow")
        with atomic_directory(tmp_path / "folder") as fast:
            assert fast != slow
            (fast / "by").write_text("fast")
    assert names(tmp_path) == ["folder"] and (tmp_path / "folder" / "by").read_text() == "fast"


# --- the rest ----------------------------------------------------------------------------------------------------

def test_the_hash_of_a_file_is_of_its_content(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 1_000_000)
    assert sha256_of_file(tmp_path / "file") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


def test_the_cache_is_where_it_is_configured_or_in_the_users_cache(monkeypatch, tmp_path):
    assert cache_directory("here") == pathlib.Path("here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory(None) == tmp_path / "arch_zoo"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_directory(None) == tmp_path / "home" / ".cache" / "arch_zoo"


# --- a whole program ---------------------------------------------------------------------------------------------

PROGRAM = """
import errno, os, sys
from arch_zoo.config import DataConfig
from arch_zoo.data.prepare import prepare_data
from experiments import program

def no_space(handle):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

def main(arguments):
    os.fsync = no_space
    prepare_data(DataConfig(corpus=sys.argv[1], cache_dir=sys.argv[2]))

program.run(main, "")
"""


def test_a_program_on_a_full_disk_ends_with_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "corpus.txt").write_text("some text\n\n" * 100)
    ended = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "corpus.txt"), str(tmp_path / "cache")],
                           cwd=pathlib.Path(__file__).parents[1], text=True, capture_output=True)
    assert ended.returncode not in (0, -9)
    assert "no space left on the disk" in ended.stderr and ended.stderr.count("\n") == 1
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
