"""Stands before the package of this name while tests run, as if that were not installed: jsonschema does without.

It makes 38 parsers when it is imported, more than a second of a processor, in every process that reads a notebook; all it
is good for is addresses with letters that are not ASCII.
"""

raise ImportError("tests do without rfc3987_syntax")
