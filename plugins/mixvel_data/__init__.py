"""Where items come from (digits, NumPy files), and how they are split into shards (labels, k-means)."""
