"""The Beam steps, thin: wiring over the functions of the rooms below."""
