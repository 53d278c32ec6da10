"""How far samples are from data: exact and sliced Wasserstein-2, and the Frechet distance of named features."""
