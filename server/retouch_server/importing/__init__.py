"""Bring your own model: a checkpoint, an ONNX file or a diffusers folder becomes a model folder that Triton serves.

    source       what every way in comes down to: a function from pixels to pixels, and its needs
    checkpoint   weights whose architecture spandrel recognises; loaded without running what a pickle says
    spectrum     Fourier transforms in real numbers, which ONNX can hold
    export       a torch source as ONNX
    onnx_file    a ready ONNX file
    diffusion    a diffusers pipeline's folder, served by `diffusion_model/model.py`
    reach        how far a pixel's influence goes, measured
    fit          window, halo and blending that follow from it
    pictures     what it is tried on
    check        the exported model against its source
    card         the texts beside the model: config.pbtxt and README.md
    place        into the repository in one piece, and into the Triton that runs
    run          all of it in order: what `retouch models import` calls

torch, spandrel, diffusers and onnx are imported inside functions, where they are needed: nothing else of the server needs them.
"""
