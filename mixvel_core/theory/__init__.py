"""Constants and bounds of the theory, in the paper's form and in ours; and what is measured beside them.

Every bound is given in log10: those of the paper overflow any float for real data. ``bounds_of`` (``table``) lists
them for a ``BoundProblem``; each file is one idea and can be used by itself. Proofs and names: docs/theory.
"""
