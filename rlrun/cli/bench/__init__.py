"""What `rlrun bench` measures: a machine's ceilings, the speed of the loop, and the workloads that it trains."""
