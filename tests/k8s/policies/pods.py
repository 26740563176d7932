"""What every pod must have, whoever made its image."""

from collections.abc import Iterator

from retouch_server.rpc.mask_service import MAX_PNG_BYTES
from tests.k8s.rendering import (
    Object,
    Objects,
    containers,
    find,
    labels_of,
    of_kind,
    orchestrator,
    pod_of,
    port_names,
    product,
    seconds,
    selects,
    title,
    workloads,
)


def _each(objects: Objects) -> Iterator[tuple[Object, Object, str]]:
    for workload in workloads(objects):
        for container in containers(workload):
            yield workload, container, f"{title(workload)}, container {container['name']}"


def restricted(objects: Objects) -> Iterator[str]:
    """What the Pod Security Standard `restricted` asks for, and a read-only root."""
    for each in of_kind(objects, "Namespace"):
        if each["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{title(each)} does not enforce restricted pods"
    for workload, container, name in _each(objects):
        context = pod_of(workload).get("securityContext", {}) | container.get("securityContext", {})
        for key, wanted in {
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }.items():
            if context.get(key) != wanted:
                yield f"{name}: {key} is {context.get(key)}, not {wanted}"
        if not context.get("runAsUser"):
            yield f"{name}: runAsUser is not set, or root"
        if any(pod_of(workload).get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name}: shares the node's namespaces"


def resources(objects: Objects) -> Iterator[str]:
    """Requests of CPU and memory, a limit of memory."""
    for _, container, name in _each(objects):
        given = container.get("resources", {})
        for kind, wanted in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            if not given.get(kind, {}).get(wanted):
                yield f"{name}: no {kind} of {wanted}"


def probes(objects: Objects) -> Iterator[str]:
    """Three, each on a port that there is."""
    for workload, container, name in _each(objects):
        ports = port_names(workload)
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.get(kind)
            if not probe:
                yield f"{name}: no {kind}"
                continue
            port = next((probe[how]["port"] for how in ("grpc", "httpGet", "tcpSocket") if how in probe), None)
            if port is not None and port not in (*ports, *ports.values()):
                yield f"{name}: {kind} asks port {port}, which the container does not have"


def health(objects: Objects) -> Iterator[str]:
    """gRPC health decides who gets calls; it says NOT_SERVING while a server drains, and so must not decide who is killed."""
    for workload in product(objects):
        (container,) = containers(workload)
        port = port_names(workload).get("grpc")
        for kind in ("startupProbe", "readinessProbe"):
            if container.get(kind, {}).get("grpc", {}).get("port") != port:
                yield f"{title(workload)}: {kind} does not ask for gRPC health on port {port}"
        if "grpc" in container.get("livenessProbe", {}):
            yield f"{title(workload)}: livenessProbe asks for gRPC health, and would kill a server that drains"


def images(objects: Objects) -> Iterator[str]:
    """A tag that names one release, or a digest."""
    for _, container, name in _each(objects):
        image: str = container["image"]
        tag = image.rpartition("/")[2].partition(":")[2]
        if "@sha256:" not in image and not any(digit in tag for digit in "0123456789"):
            yield f"{name}: image {image} is not pinned"


def identity(objects: Objects) -> Iterator[str]:
    """A service account of its own, without a token; no variables that Kubernetes makes from names of Services."""
    for workload in workloads(objects):
        pod = pod_of(workload)
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{title(workload)}: mounts a token"
        if pod.get("enableServiceLinks") is not False:
            yield f"{title(workload)}: enableServiceLinks may make RETOUCH_… variables that are no settings"
        accounts = {each["metadata"]["name"]: each for each in of_kind(objects, "ServiceAccount")}
        account = accounts.get(pod.get("serviceAccountName", ""))
        if account is None or account.get("automountServiceAccountToken") is not False:
            yield f"{title(workload)}: no service account without a token"


def grace(objects: Objects) -> Iterator[str]:
    """preStop, drain and an end fit into the grace period."""
    settings = find(objects, "ConfigMap", "orchestrator-settings")["data"]
    for workload in product(objects):
        (container,) = containers(workload)
        pause_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        is_orchestrator = workload is orchestrator(objects)
        drain_s = float(settings["RETOUCH_DRAIN_S"]) if is_orchestrator else seconds(container["args"], "--exit-timeout-secs")
        if pause_s < 5:
            yield f"{title(workload)}: no preStop pause; calls arrive after SIGTERM until everybody has forgotten the pod"
        if (given_s := pod_of(workload)["terminationGracePeriodSeconds"]) < pause_s + drain_s + 5:
            yield f"{title(workload)}: {given_s} s of grace are less than preStop, {pause_s} s, drain, {drain_s:g} s, and 5 s"


def spread(objects: Objects) -> Iterator[str]:
    """Over zones and nodes, and a lost node's pods are replaced soon."""
    for workload in product(objects):
        pod = pod_of(workload)
        own = [
            each["topologyKey"]
            for each in pod.get("topologySpreadConstraints", ())
            if each["labelSelector"] == workload["spec"]["selector"]
        ]
        if own != ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]:
            yield f"{title(workload)}: its own pods are spread over {own}"
        soon = {each.get("key") for each in pod.get("tolerations", ()) if each.get("tolerationSeconds", 300) <= 60}
        if missing := {"node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"} - soon:
            yield f"{title(workload)}: stays on a lost node for minutes: {sorted(missing)}"


def disruption(objects: Objects) -> Iterator[str]:
    """Each Deployment of ours has one budget of disruptions, which admits at least one, and every budget has a Deployment."""
    budgets = list(of_kind(objects, "PodDisruptionBudget"))
    for workload in product(objects):
        if sum(selects(each["spec"]["selector"], labels_of(workload)) for each in budgets) != 1:
            yield f"{title(workload)}: not exactly one PodDisruptionBudget"
    for each in budgets:
        if not any(selects(each["spec"]["selector"], labels_of(workload)) for workload in workloads(objects)):
            yield f"{title(each)} selects nothing"
        if each["spec"].get("maxUnavailable") in (None, 0, "0%"):
            yield f"{title(each)}: no node could ever be drained"


def scratch(objects: Objects) -> Iterator[str]:
    """Uploads of masks wait in the orchestrator's /tmp; a pod that takes more than it has is evicted, with all its edits."""
    pod = pod_of(orchestrator(objects))
    places = {each["mountPath"]: each["name"] for each in pod["containers"][0]["volumeMounts"]}
    volumes = {each["name"]: each.get("emptyDir", {}) for each in pod["volumes"]}
    room = volumes.get(places.get("/tmp", ""), {}).get("sizeLimit")
    for limit in (room, pod["containers"][0]["resources"]["limits"].get("ephemeral-storage")):
        if not limit or not limit.endswith("Gi") or int(limit.removesuffix("Gi")) << 30 < 32 * MAX_PNG_BYTES:
            yield f"the orchestrator's room for uploads, {limit}, is less than 32 of the largest"


def shared_memory(objects: Objects) -> Iterator[str]:
    """Triton's python backend passes tensors through /dev/shm, of which a pod has 64 MiB unasked."""
    for workload in product(objects):
        if workload is orchestrator(objects):
            continue
        places = {each["mountPath"]: each["name"] for each in containers(workload)[0]["volumeMounts"]}
        volumes = {each["name"]: each.get("emptyDir", {}) for each in pod_of(workload)["volumes"]}
        shm = volumes.get(places.get("/dev/shm", ""), {})
        if shm.get("medium") != "Memory" or int(shm.get("sizeLimit", "0Mi").removesuffix("Mi")) <= 64:
            yield f"{title(workload)}: /dev/shm is {shm or 'not mounted'}"


POLICIES = (
    restricted,
    resources,
    probes,
    health,
    images,
    identity,
    grace,
    spread,
    disruption,
    scratch,
    shared_memory,
)
