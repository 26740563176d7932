"""Makes the JSON schemas beside this file again, from the npm packages that README.md names. Needs npm: `python make.py`."""

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

PACKAGES = {"keda": "2.0.0", "prometheus-operator": "6.0.0", "gateway-api": "2.0.0"}
GENERATOR = "ts-json-schema-generator@2.4.0"
KINDS = {
    "ScaledObject": "keda/keda.sh/v1alpha1",
    "ServiceMonitor": "prometheus-operator/monitoring.coreos.com/v1",
    "PodMonitor": "prometheus-operator/monitoring.coreos.com/v1",
    "PrometheusRule": "prometheus-operator/monitoring.coreos.com/v1",
    "Gateway": "gateway-api/gateway.networking.k8s.io/v1",
    "GRPCRoute": "gateway-api/gateway.networking.k8s.io/v1",
}
OPTIONS = {"module": "nodenext", "moduleResolution": "nodenext", "target": "es2022", "strict": True, "skipLibCheck": True}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "package.json").write_text('{"private": true}')
        (work / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS}))
        wanted = [f"@kubernetes-models/{name}@{version}" for name, version in PACKAGES.items()]
        subprocess.run(["npm", "install", "--silent", GENERATOR, *wanted], cwd=work, check=True)
        models = work / "node_modules" / "@kubernetes-models"
        for kind, place in KINDS.items():
            types = models / place / f"{kind}.d.ts"
            arguments = [
                "--path",
                types,
                "--type",
                f"I{kind}",
                "--tsconfig",
                "tsconfig.json",
                "--jsDoc",
                "none",
                "--no-type-check",
            ]
            run = subprocess.run(
                ["npx", "ts-json-schema-generator", *arguments], cwd=work, check=True, capture_output=True, text=True
            )
            schema = json.loads(run.stdout)
            _add_patterns(schema["definitions"], types.parent, models / place.split("/")[0] / "_schemas")
            schema["definitions"]["IObjectMeta"] = {"type": "object"}  # Kubernetes' own, not the CRD's
            text = json.dumps(schema, indent=1, sort_keys=True)
            Path(__file__).with_name(f"{kind}.json").write_text(text + "\n")


def _add_patterns(definitions: dict[str, Any], types: Path, validators: Path) -> None:
    """Types do not say which strings are durations or names; the packages' validators of those types do."""
    for interface, definition in definitions.items():
        name = interface.removeprefix("I")
        if definition != {"type": "string"} or not (types / f"{name}.d.ts").exists():
            continue
        (validator,) = validators.glob(f"*{types.name.capitalize()}{name}.js")
        if found := re.search(r'keyword:"pattern",params:\{pattern:("(?:[^"\\]|\\.)*")', validator.read_text()):
            definition["pattern"] = json.loads(found[1])


if __name__ == "__main__":
    main()
