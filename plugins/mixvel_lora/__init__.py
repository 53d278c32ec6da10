"""LoRA experts: K adapters of one base network, which is in memory and evaluated once for rows of different experts."""
