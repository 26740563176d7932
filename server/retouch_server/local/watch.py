"""The process between an owner and its tritonserver: when either ends, nothing of them remains.

    python -I -S watch.py OWNER_PID PREFIX RUN_PREFIX COMMAND...

Run as a file, with nothing but the standard library, so that it starts in some 20 ms. It starts COMMAND, prints the
command's process id on a line, and then waits for the first of

- the owner's end, however it came (kill -9 included), or SIGTERM: COMMAND is killed;
- the end of COMMAND, however it came.

Then it kills what COMMAND left behind (as their subreaper it inherits the stubs of the python backend), removes the
regions in /dev/shm that begin with RUN_PREFIX, or with PREFIX where the owner is gone, and exits with COMMAND's status.
Should this process itself be killed, the kernel kills COMMAND, and COMMAND's stubs notice and leave.

COMMAND is killed outright, never asked to leave: tritonserver has nothing to save, and takes 5 s to say goodbye.
"""

import contextlib
import ctypes
import glob
import os
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.25


def _die_with_parent() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _children() -> list[int]:
    """Process ids whose parent is this process: what COMMAND left behind comes to us."""
    found: list[int] = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError), open(path) as file:
            if int(file.read().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(path.split("/")[2]))
    return found


def _reap_all() -> None:
    while children := _children():
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def main() -> int:
    owner, prefix, run_prefix, *command = sys.argv[1:]
    awaited = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    server = subprocess.Popen(command, stdout=2, preexec_fn=_die_with_parent)
    with contextlib.suppress(OSError):  # the owner may be gone already; the loop below finds out
        print(server.pid, flush=True)
    # The parent's id changes when the parent ends: no pipe that another child could hold open, no thread that must live on.
    while server.poll() is None and os.getppid() == int(owner):
        received = signal.sigtimedwait(awaited, _POLL_S)
        if received is not None and received.si_signo != signal.SIGCHLD:
            break
    status = server.poll()
    if status is None:
        server.kill()
    _reap_all()
    is_orphan = os.getppid() != int(owner)
    for path in glob.glob(f"/dev/shm/{prefix if is_orphan else run_prefix}*"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    if is_orphan:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"/dev/shm/{prefix.removesuffix('-')}.lock")
    if status is None:
        return 0
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
