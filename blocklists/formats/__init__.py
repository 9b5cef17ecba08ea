"""Partners' list formats: one module each, found by name or content through `registry`."""
