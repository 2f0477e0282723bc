"""Programs that proofs start: each prints its counts as one JSON object, the last line of its output."""
