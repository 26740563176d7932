"""NetworkPolicies: nothing by default, and everything that is needed."""

from collections.abc import Iterator

from tests.k8s.policies.wiring import environment
from tests.k8s.rendering import Object, Objects, find, labels_of, of_kind, orchestrator, product, selects, title, workloads


def _rules(objects: Objects, labels: dict[str, str], way: str) -> Iterator[Object]:
    """Rules for `way` (ingress, egress) of the policies that apply to pods with those labels."""
    for policy in of_kind(objects, "NetworkPolicy"):
        if way.capitalize() in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], labels):
            yield from policy["spec"].get(way, ())


def _ports(rule: Object) -> set[int]:
    return {each["port"] for each in rule["ports"]}


def denies_by_default(objects: Objects) -> Iterator[str]:
    """All pods, both ways; and no rule is for everybody on every port."""
    if not any(
        each["spec"]["podSelector"] == {}
        and set(each["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not {"ingress", "egress"} & set(each["spec"])
        for each in of_kind(objects, "NetworkPolicy")
    ):
        yield "no NetworkPolicy denies by default"
    for policy in of_kind(objects, "NetworkPolicy"):
        for rule in [*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())]:
            if not rule.get("ports"):
                yield f"{title(policy)} allows every port"
        for rule in policy["spec"].get("ingress", ()):
            if not rule.get("from"):
                yield f"{title(policy)} lets everybody in"


def lets_services_be_reached(objects: Objects) -> Iterator[str]:
    """A port that a Service offers is open to somebody, on the pods behind it."""
    for service in of_kind(objects, "Service"):
        for workload in workloads(objects):
            if not selects({"matchLabels": service["spec"]["selector"]}, labels_of(workload)):
                continue
            named = {
                port["name"]: port["containerPort"]
                for each in workload["spec"]["template"]["spec"]["containers"]
                for port in each["ports"]
            }
            is_open = {port for rule in _rules(objects, dict(labels_of(workload)), "ingress") for port in _ports(rule)}
            for port in service["spec"]["ports"]:
                if named.get(port["targetPort"]) not in is_open:
                    yield f"{title(service)}: no NetworkPolicy opens port {named.get(port['targetPort'])} of {title(workload)}"


def lets_the_orchestrator_call(objects: Objects) -> Iterator[str]:
    """DNS, each pool, and the stores where they are shared; and the pools let it in."""
    own = dict(labels_of(orchestrator(objects)))
    out = list(_rules(objects, own, "egress"))
    if not any(53 in _ports(rule) for rule in out):
        yield "the orchestrator may not ask DNS"
    for workload in product(objects):
        if workload is orchestrator(objects):
            continue
        labels = dict(labels_of(workload))
        if not any(8001 in _ports(rule) and _names(rule.get("to", ()), labels) for rule in out):
            yield f"the orchestrator may not call {title(workload)}"
        if not any(8001 in _ports(rule) and _names(rule["from"], own) for rule in _rules(objects, labels, "ingress")):
            yield f"{title(workload)} does not let the orchestrator in"
    for variable, scheme, port in (("MASK_STORE", "postgresql", 5432), ("RESULT_CACHE", "redis", 6379)):
        if environment(objects).get(f"RETOUCH_{variable}", "").startswith(scheme) and not any(port in _ports(r) for r in out):
            yield f"the orchestrator may not reach port {port} of its store"


def _names(peers: list[Object], labels: dict[str, str]) -> bool:
    """Whether one of the peers of a rule is pods of this namespace with those labels."""
    return any(
        "namespaceSelector" not in each and selects(each["podSelector"], labels) for each in peers if "podSelector" in each
    )


def lets_only_prometheus_scrape(objects: Objects) -> Iterator[str]:
    """Metrics are not for callers."""
    for name, port in (("orchestrator", 8301), ("triton", 8002)):
        for rule in find(objects, "NetworkPolicy", name)["spec"]["ingress"]:
            monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
            if port in _ports(rule) and rule["from"] != [monitoring]:
                yield f"NetworkPolicy {name}: metrics are open to {rule['from']}"


POLICIES = (denies_by_default, lets_services_be_reached, lets_the_orchestrator_call, lets_only_prometheus_scrape)
