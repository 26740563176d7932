"""The pools of Triton servers, from Triton's own metrics."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from k8s.monitoring.source.panels import NS, RATE, choice, dashboard, lines, number

AT = f'{NS}, pool=~"$pool"'
MODEL = f'{AT}, model=~"$model"'


def _rate(name: str, by: str = "model") -> str:
    return f"sum by ({by}) (rate(nv_inference_{name}{{{MODEL}}}{RATE}))"


def _mean_seconds(name: str) -> str:
    return f"{_rate(f'{name}_duration_us')} / 1e6 / {_rate('request_success')}"


def build() -> Dashboard:
    pools = [
        number(
            "Servers", "That Prometheus reaches, of the pools chosen.", f'sum(up{{{AT}, job="retouch-triton"}})', limits=(2, 1)
        ),
        number(
            "Reachable",
            "Share of the orchestrators that reach Triton.",
            f"avg(retouch_triton_reachable{{{NS}}})",
            unit="percentunit",
            limits=(1, 0.9),
        ),
        number(
            "Requests pending",
            "Wait at Triton for a free instance, all models.",
            f"sum(nv_inference_pending_request_count{{{MODEL}}})",
        ),
        number(
            "Requests", "Per second, all models.", f"sum(rate(nv_inference_request_success{{{MODEL}}}{RATE}))", unit="reqps"
        ),
        number(
            "Requests that fail",
            "Share of all, calls that were taken back aside.",
            f"max(retouch:triton_request_failures:ratio_rate5m{{{AT}}})",
            unit="percentunit",
            limits=(0.005, 0.02),
        ),
        number(
            "Longest wait",
            "Of the models, the longest mean wait for a free instance in 5 minutes.",
            f"max(retouch:triton_queue_seconds:mean_rate5m{{{AT}}})",
            unit="s",
            limits=(2, 5),
        ),
    ]
    load = [
        lines("Requests by pool", "Per second.", [(_rate("request_success", by="pool"), "{{pool}}")], unit="reqps"),
        lines("Requests by model", "Per second.", [(_rate("request_success"), "{{model}}")], unit="reqps", is_stacked=True),
        lines(
            "Requests that fail",
            "Per second, by reason. CANCELED: the edit ended before its window was done.",
            [(_rate("request_failure", by="reason"), "{{reason}}")],
            unit="reqps",
        ),
    ]
    waiting = [
        lines(
            "Requests pending",
            "Wait for a free instance. The autoscaler follows this.",
            [(f"sum by (pool, model) (nv_inference_pending_request_count{{{MODEL}}})", "{{pool}} {{model}}")],
        ),
        lines("Mean wait", "From arrival to the start of the computation.", [(_mean_seconds("queue"), "{{model}}")], unit="s"),
        lines(
            "Mean computation",
            "Of the model itself, without input and output.",
            [(_mean_seconds("compute_infer"), "{{model}}")],
            unit="s",
        ),
    ]
    work = [
        lines(
            "Instances busy",
            "How many of a model's instances compute at once, on average: at their number, only more replicas help.",
            [(f"{_rate('compute_infer_duration_us', by='pool, model')} / 1e6", "{{pool}} {{model}}")],
        ),
        lines(
            "Input and output",
            "Mean seconds of copying a request's pixels in and out: shared memory keeps this near 0.",
            [(_mean_seconds("compute_input"), "{{model}} in"), (_mean_seconds("compute_output"), "{{model}} out")],
            unit="s",
        ),
        lines(
            "Windows of a batch",
            "Mean; 1: no batching.",
            [(f"{_rate('count')} / {_rate('exec_count')}", "{{model}}")],
        ),
    ]
    machine = [
        lines(
            "Processor",
            "Of the GPU where there is one, else of the node's CPUs.",
            [(f"avg by (pod) (nv_gpu_utilization{{{AT}}} or nv_cpu_utilization{{{AT}}})", "{{pod}}")],
            unit="percentunit",
            top=1,
        ),
        lines(
            "Memory",
            "Of the GPU where there is one, else of the node.",
            [
                (f"sum by (pod) (nv_gpu_memory_used_bytes{{{AT}}} or nv_cpu_memory_used_bytes{{{AT}}})", "{{pod}} used"),
                (f"sum by (pod) (nv_gpu_memory_total_bytes{{{AT}}} or nv_cpu_memory_total_bytes{{{AT}}})", "{{pod}} there is"),
            ],
            unit="bytes",
        ),
        lines(
            "Calls as the orchestrators see them",
            "Mean seconds with transport; what exceeds wait and computation above is the network.",
            [
                (
                    f'sum by (model) (rate(retouch_model_call_seconds_sum{{{NS}, model=~"$model"}}{RATE}))'
                    f' / sum by (model) (rate(retouch_model_call_seconds_count{{{NS}, model=~"$model"}}{RATE}))',
                    "{{model}}",
                )
            ],
            unit="s",
        ),
    ]
    return dashboard(
        "triton",
        "Triton pools",
        "What the model servers do, by pool and model.",
        {"Pools": pools, "Load": load, "Waiting": waiting, "Work": work, "Machines": machine},
        variables=[
            choice("pool", 'label_values(up{namespace=~"$namespace", job="retouch-triton"}, pool)'),
            choice("model", 'label_values(nv_inference_count{namespace=~"$namespace", pool=~"$pool"}, model)'),
        ],
    )
