"""The three marks that a verdict may bear; in a file of their own, since showing them needs no torch."""

RIGHT, WRONG, NOT_ATTEMPTED = "✓", "✗", "○"
