"""The command `retouch`."""

import os

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # before grpc is imported: its notes on connections are not for the terminal

from retouch.cli.root import main

__all__ = ["main"]
