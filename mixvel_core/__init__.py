"""mixvel: train diffusion experts in isolation, route between them, sample at one expert per step."""
