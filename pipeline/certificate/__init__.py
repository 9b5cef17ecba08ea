"""The certificate of what was admitted: its statement, and its making from the evidence."""
