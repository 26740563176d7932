"""Hands on the trace that the program is in, where it uses OpenTelemetry; this package does not need it."""

import sys

Metadata = tuple[tuple[str, str], ...]


def traced(metadata: Metadata) -> Metadata:
    """`metadata`, and with it what names the span that is active here, so that the server's spans become its children.

    A span can be active only where the program itself has imported OpenTelemetry: nothing is imported before.
    """
    if "opentelemetry.trace" not in sys.modules:
        return metadata
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return metadata + tuple((name.lower(), value) for name, value in carrier.items())
