"""The commands of the command line, one a file; each module has a ``Command`` that reads its options and runs.

The module's docstring is its help. Heavy imports stand inside ``run``.
"""
