"""Bear processes that save without end: ``nursery.py PEER PATH MEGABYTES``.

torch is imported once. Each line on stdin is a number to begin with: a child is forked, which
says its process id once it is saving. It is waited for before the next line is read.
"""

import os
import sys
from itertools import count
from pathlib import Path

from peers import PEERS, make


def main() -> None:
    """Fork a child a line."""
    peer, path, megabytes = PEERS[sys.argv[1]], Path(sys.argv[2]), float(sys.argv[3])
    peer.save(path, make(0, megabytes))  # what is imported late is imported now
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            print(os.getpid(), flush=True)
            for number in count(int(line)):
                peer.save(path, make(number, megabytes))
        os.waitpid(child, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    main()
