"""What work costs the machine, whatever else runs on it."""

import psutil


def processor_s() -> float:
    """Processor time of this process and of all that it started and that still run."""
    process = psutil.Process()
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))
