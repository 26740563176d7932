"""gRPC: a servicer per service; each converts, delegates, converts back."""
