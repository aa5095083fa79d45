"""Measurements: the decider against a bare copy of the same bytes, and latency seen by a consumer."""
