"""Models: what is known of each, and how to call one."""
