"""Where a virtual key can be plugged: thin adapters, each between one core and one outside protocol."""
