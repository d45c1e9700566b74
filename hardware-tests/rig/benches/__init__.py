"""The benches: one module a transport."""
