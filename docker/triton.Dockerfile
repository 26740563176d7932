# syntax=docker/dockerfile:1
# NVIDIA's Triton with Retouch's models baked in; which of them a pool serves, its --load-model says. From the root:
#
#   docker build -f docker/triton.Dockerfile -t retouch/triton:0.1.0 .
#   docker build -f docker/triton.Dockerfile --build-arg DEVICE=gpu -t retouch/triton:0.1.0-gpu .
#
# A digest holds what a tag only names: --build-arg TRITON_IMAGE=nvcr.io/nvidia/tritonserver:26.07-py3@sha256:...
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:26.07-py3
ARG PYTHON_IMAGE=python:3.12.8-slim-bookworm

FROM ${PYTHON_IMAGE} AS models
ARG DEVICE=cpu
WORKDIR /src
COPY requirements/no-deps.txt requirements/no-deps.txt
COPY docker/install.sh docker/place_models.py docker/
COPY server server
COPY model_repository model_repository
RUN python docker/place_models.py "$DEVICE" model_repository /chosen \
 && MODELS=/chosen docker/install.sh models /models

FROM ${TRITON_IMAGE}
WORKDIR /src
COPY pyproject.toml ./
COPY requirements/constraints.txt requirements/constraints.txt
COPY docker/install.sh docker/install.sh
# Ubuntu's Python wants to be told that pip is meant; Triton's python backend uses this interpreter and no other.
RUN PIP_BREAK_SYSTEM_PACKAGES=1 PIP_NO_CACHE_DIR=1 docker/install.sh triton && rm -rf /src
WORKDIR /
COPY --from=models /models /models
COPY docker/triton_alive.py /opt/retouch/triton_alive.py
USER 1000:1000
EXPOSE 8001 8002
# NVIDIA's entrypoint prints a banner and execs what follows. --model-control-mode=explicit: only what is named is loaded.
CMD ["tritonserver", "--model-repository=/models", "--model-control-mode=explicit", "--load-model=*"]
