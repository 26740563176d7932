"""Triton on this machine, without a container: the wheel's tritonserver, a repository for it, and its supervision.

    repository   assembles servable model folders (`python -m retouch_server.local.repository TARGET SOURCE...`)
    runtime      where the wheels keep the files that are used here; the environment tritonserver runs in
    backends/    ONNX Runtime as a python-based backend, for `backend: "onnxruntime"` where the native one is absent
    triton       LocalTriton: starts tritonserver, waits until its models are ready, restarts it, stops it
    launch       the settings, tritonserver's command line, its ports
    run          one tritonserver process, from its start to its end
    watch        the process between us and tritonserver: nothing outlives its parent, not even after kill -9
    shm          who owns which /dev/shm region, and the removal of those nobody owns
    stubs        the python backend's processes, one per model instance, and which of them died
    control      Triton's own HTTP endpoints: readiness, the index, load
    doctor       whether this machine has what all of this needs

Nothing here imports tritonclient or pytriton.
"""
