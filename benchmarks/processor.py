"""What work costs the machine, whatever else runs on it."""

import psutil


def processor_s(pid: int | None = None) -> float:
    """Processor time of a process, of this one by default, and of all that it started and that still run."""
    process = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))
