"""Arrays to and from Triton's python backend, and its errors. The same file lies in each python model of this repository.

Arrays travel by DLPack, not by `as_numpy()` and `pb_utils.Tensor(name, array)`: the stub of Triton 2.51 reads an array's
item size where NumPy 1 kept it. With NumPy 2 it finds 0 there, hands over inputs that repeat their first value and sends
outputs without bytes. DLPack is right with either NumPy, there and in NVIDIA's containers.
"""

import ctypes

import numpy as np
import triton_python_backend_utils as pb_utils

_rename_capsule = ctypes.pythonapi.PyCapsule_SetName
_rename_capsule.argtypes = [ctypes.py_object, ctypes.c_char_p]
_CONSUMED = b"used_dltensor"


def array_of(tensor):
    """A tensor in main memory as an array of this process: a copy, since the memory goes back to Triton."""
    return np.array(np.from_dlpack(tensor))


def tensor_of(name, values):
    """An array as a tensor of Triton's."""
    capsule = np.ascontiguousarray(values).__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    # The stub marks a capsule as consumed by a name that DLPack does not know, and NumPy complains of it on stderr.
    _rename_capsule(capsule, _CONSUMED)
    return tensor


def picture(request, name, channels):
    """The input `name` as [H,W,channels] uint8. ValueError where it has another shape or no pixel."""
    pixels = array_of(pb_utils.get_input_tensor_by_name(request, name))
    if pixels.ndim != 3 or pixels.shape[2] != channels or pixels.size == 0:
        raise ValueError(f"{name} must be [H,W,{channels}] with at least one pixel, not {list(pixels.shape)}")
    return pixels


def image_and_mask(request):
    """The inputs `image` [H,W,3] and `mask` [H,W,1]. ValueError where their sizes differ."""
    image, mask = picture(request, "image", 3), picture(request, "mask", 1)
    if image.shape[:2] != mask.shape[:2]:
        raise ValueError(f"image is {list(image.shape[:2])} px and mask {list(mask.shape[:2])} px; they must agree")
    return image, mask


def guidance(request, image):
    """The inputs `guide` [H,W,4], `guide_px` and `reference` [h,w,4]; what tells nothing where they were left out.

    ValueError where image [H,W,3] and guide differ in size.
    """
    guide, guide_px = _optional(request, "guide", image.shape), pb_utils.get_input_tensor_by_name(request, "guide_px")
    if guide.shape[:2] != image.shape[:2]:
        raise ValueError(f"image is {list(image.shape[:2])} px and guide {list(guide.shape[:2])} px; they must agree")
    return guide, 1 if guide_px is None else int(array_of(guide_px)[0]), _optional(request, "reference", (1, 1))


def _optional(request, name, shape):
    """The input `name` as [H,W,4] uint8; zeros of `shape`, which tell nothing, where it was left out."""
    if pb_utils.get_input_tensor_by_name(request, name) is None:
        return np.zeros((*shape[:2], 4), np.uint8)
    return picture(request, name, 4)


def answered(answer, request):
    """The response that answer(request) gives as {name: array}, or an error of this request alone."""
    if request.is_cancelled():
        return _refused("cancelled before it was begun", pb_utils.TritonError.CANCELLED)
    try:
        outputs = [tensor_of(name, values) for name, values in answer(request).items()]
    except ValueError as error:
        return _refused(str(error), pb_utils.TritonError.INVALID_ARG)
    except pb_utils.TritonModelException as error:
        return _refused(str(error), pb_utils.TritonError.UNAVAILABLE)
    except Exception as error:
        return _refused(f"{type(error).__name__}: {error}", pb_utils.TritonError.INTERNAL)
    return pb_utils.InferenceResponse(outputs)


def called(request, model, **arrays):
    """The output `result` of another model of this server, of inputs by name. Raises TritonModelException where it fails."""
    if request.is_cancelled():
        raise pb_utils.TritonModelException(f"cancelled before {model} was called")
    call = pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=["result"],
        inputs=[tensor_of(name, values) for name, values in arrays.items()],
        # A learned fill may run on a GPU; its answer is wanted in main memory.
        preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
    )
    response = call.exec()
    if response.has_error():
        raise pb_utils.TritonModelException(f"{model}: {response.error().message()}")
    return array_of(pb_utils.get_output_tensor_by_name(response, "result"))


def _refused(message, code):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
