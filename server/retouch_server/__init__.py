"""The Retouch orchestrator: plans an edit, runs its tiles through Triton-hosted models and sews them together."""
