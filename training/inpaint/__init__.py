"""The learned inpainter: train, export, evaluate."""
