"""The scenarios, by what they are about. Each is a function of a bench: it returns, or raises why not."""
