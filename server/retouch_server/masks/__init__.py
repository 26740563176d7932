"""Masks, versioned per image id: what a registry promises, and the one store that keeps it."""
