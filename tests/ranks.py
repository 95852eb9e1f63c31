"""Run a program in several processes that are the ranks of one run, forked from one that has imported the libraries.

Reads one line of JSON for each run, {"number": of ranks, "argv": [...], "output": file}, answers with the process
numbers, and at the end of all with their exit codes. What rank N prints goes to the file with N behind its name.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

from launcher import run


def rank(number: int, port: int, of: int, argv: list[str], output: str) -> int:
    """Run the program as one rank, as torchrun would start it."""
    os.setsid()
    os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(of), "LOCAL_WORLD_SIZE": str(of)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return run(argv, str(Path(__file__).parents[1]), os.environ["HOME"], f"{output}{number}")


def main() -> None:
    """Answer until the input ends."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
    import torch._dynamo  # noqa: F401 - which the first optimiser imports, for two seconds

    import edgeconnect.cli
    import edgeconnect.methods.edgeconnect
    import edgeconnect.run  # noqa: F401

    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in sys.stdin:
        wanted = json.loads(line)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        children = []
        for number in range(wanted["number"]):
            child = os.fork()
            if child == 0:
                os._exit(rank(number, port, wanted["number"], wanted["argv"], wanted["output"]))
            children.append(child)
        sys.stdout.write(f"{json.dumps(children)}\n")
        sys.stdout.flush()
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        sys.stdout.write(f"{json.dumps(codes)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
