"""Study: how far samplers end from the mixture's own flow, against steps and against expert evaluations (E.3)."""
