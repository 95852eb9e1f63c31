"""Run Python programs, each in a process forked from one that has imported the large libraries: saves seconds each.

Reads one line of JSON for each, {"argv": [...], "folder": where, "home": HOME, "output": file}, and answers with its
exit code. What a program prints goes to the file. Each imports the package anew, never from where it is installed.
"""

import json
import os
import runpy
import sys
import traceback
from pathlib import Path


def run(argv: list[str], folder: str, home: str, output: str) -> int:
    """Run a program in this process, as `python ARGV...` would."""
    os.chdir(folder)
    os.environ["HOME"] = home
    with Path(output).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = argv
    sys.path[0] = str(Path(argv[0]).resolve().parent)
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as ended:
        if isinstance(ended.code, str | list):
            print(ended.code, file=sys.stderr)  # noqa: T201 - as Python itself does
            return 1
        return ended.code or 0
    except BaseException:  # noqa: BLE001 - as Python itself does
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
    return 0


def main() -> None:
    """Answer until the input ends."""
    import cv2  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import torchvision  # noqa: F401

    sys.path[1:] = [place for place in sys.path[1:] if not (Path(place) / "edgeconnect").is_dir()]
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = run(**json.loads(line))
            os._exit(code)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
