"""Two layers: heads that read what other heads wrote, induction heads, and what each path is worth."""
