"""Where images come from: CIFAR-10, CelebA-HQ, folders, Hugging Face data sets; each is prepared once into a store."""
