"""Run many command lines of a program, each in a fork of one process: an import is paid once, not for each.

Reads lines of JSON {"preload": [modules, or "module:function" to be called], "commands": [{"module": …, "arguments":
[…]}]} from standard input, with "directory" and "environment" where the commands have others than this process; writes
for each a line, a list of {"code", "out", "err", "imported"}, where "imported" are the packages that the process had at
its end. Lines that preload the same share one process.
"""

import importlib
import json
import os
import runpy
import sys
import tempfile


def in_fork(module: str, arguments: list[str], directory: str, environment: dict[str, str]) -> dict:
    """`python -m module arguments` in a fork of this process, in the directory, with more in its environment."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, tempfile.TemporaryFile("w+") as note:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # what comes next is not for it
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.chdir(directory)
            os.environ.update(environment)
            _become(module, arguments, note.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in (out, err, note):
            file.seek(0)
            texts.append(file.read())
    return {"code": code, "out": texts[0], "err": texts[1], "imported": texts[2].split()}


def _become(module: str, arguments: list[str], note: int) -> None:
    """Run the module and end the process, the way the module itself does where it does."""
    leave = os._exit

    def leave_with_note(code):
        os.write(note, " ".join(name for name in sys.modules if "." not in name).encode())
        leave(code)

    os._exit = leave_with_note
    sys.argv[1:] = arguments
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def preload(names: list[str]) -> None:
    """Import modules, and call functions; what was there before is not done again."""
    for name in names:
        module, _, function = name.partition(":")
        loaded = importlib.import_module(module)
        if function:
            getattr(loaded, function)()


if __name__ == "__main__":
    for line in sys.stdin:
        task = json.loads(line)
        preload(task["preload"])
        place = task.get("directory", "."), task.get("environment", {})
        print(json.dumps([in_fork(c["module"], c["arguments"], *place) for c in task["commands"]]), flush=True)
