"""Constants and bounds of the theory, in the paper's form and in ours; and what is measured beside them.

Every bound is told in log10: those of the paper overflow any float for real data. ``bounds_of`` (``table``) makes the
whole list for a ``Problem``; each file is one idea and can be used alone. Proofs and names: docs/theory.
"""
