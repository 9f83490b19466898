"""What operators see of the calls: log lines, metrics and traces. Made from what the calls write down anyway."""
