"""A drill of faults: see __main__."""
