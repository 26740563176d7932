"""Pixels: numpy and OpenCV, synchronous, no network."""
