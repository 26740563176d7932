"""The conservative upscaler: train, export, evaluate."""
