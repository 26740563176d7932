# syntax=docker/dockerfile:1
# The orchestrator: slim, without torch or Triton, for any user id on a read-only root. From the repository's root:
#
#   docker build -f docker/orchestrator.Dockerfile -t retouch/orchestrator:0.1.0 .
#
# A digest holds what a tag only names: --build-arg PYTHON_IMAGE=python:3.12.8-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.12.8-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
RUN python -m venv /opt/retouch
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY requirements requirements
COPY docker/install.sh docker/install.sh
COPY clients/python clients/python
COPY server server
RUN PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PYTHON=/opt/retouch/bin/python docker/install.sh orchestrator \
 && /opt/retouch/bin/python -m compileall -q /opt/retouch/lib

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/retouch /opt/retouch
# pyvips and OpenCV bring their libraries in their wheels. Nothing is written but /tmp and what RETOUCH_MASK_STORE names.
ENV PATH=/opt/retouch/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 1000 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin retouch \
 && install -d -o retouch -g retouch /var/lib/retouch
USER 1000:1000
WORKDIR /var/lib/retouch
EXPOSE 8300 8301
# exec form: SIGTERM reaches the server, which drains.
ENTRYPOINT ["python", "-m", "retouch_server"]
