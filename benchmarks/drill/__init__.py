"""A drill of faults under load: rolling restarts of every server, and kill -9 of a Triton and of an orchestrator.

Two Triton servers, two orchestrators with one store of masks, and Prometheus with the product's alerts run as processes of
their own. Threads with a client each make small edits all the time, half of them with stored masks, and compare every result
with that of the undisturbed service. The clients find the orchestrators as in the cluster: by a name with an address for each,
of a name server that answers as a headless Service's does; the orchestrators find the Tritons by two entries of
RETOUCH_TRITON_URLS.

- Rolling restart: one orchestrator after the other is replaced by one with a new address, which is in the name before the old
  one is taken out, gets SIGTERM (after the manifests' preStop pause) and drains; then one Triton after the other gets SIGTERM,
  with no pause, and is started again at its address.
- kill -9, of a Triton and then of an orchestrator with an edit in flight: each stays away, its address still in the name,
  until its alert fires, with the alert's own `for`; then it is started again and the alert must cease.

No edit may fail or come out differently, where clients retry as the library does by default: UNAVAILABLE and
RESOURCE_EXHAUSTED, four calls in all.
"""
