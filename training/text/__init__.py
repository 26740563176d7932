"""Overlay text: the generator that draws it, and the network that takes it away."""
