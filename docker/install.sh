#!/bin/sh
# What the images install, and how: the Dockerfiles run these steps, and so does tests/k8s/test_images.py in a fresh
# environment, since CI has no container engine.
#
#   install.sh orchestrator       the client and the server, with what they need of a cluster; no torch, no Triton
#   install.sh triton             what models of the python backend import
#   install.sh models TARGET      the models, as Triton serves them; files that come out of wheels taken from these
#
# PYTHON: the interpreter whose environment gets it. Runs in the repository's root. MODELS: the source repository.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

pip_install() { "$python" -m pip install --quiet --disable-pip-version-check -c requirements/constraints.txt "$@"; }

case ${1:-} in
orchestrator)
  pip_install ./clients/python '.[postgres,redis,tracing]'
  ;;
triton)
  # The extra's own list, without the server: Triton's container brings its own Python.
  wanted=$("$python" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["triton"])')
  # shellcheck disable=SC2086 # a list of requirements
  pip_install $wanted
  ;;
models)
  wheels=$(mktemp -d)
  trap 'rm -rf "$wheels"' EXIT
  # A folder of its own, so that what is served is all that stays.
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$wheels" \
    "$(sed -n 's/^\(rapidocr==[^ #]*\).*/\1/p' requirements/no-deps.txt)"
  PYTHONPATH="$wheels:server" "$python" -m retouch_server.local.repository "$2" "${MODELS:-model_repository}"
  ;;
*)
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
