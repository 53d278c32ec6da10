"""What a recipe costs on a cluster: jobs, images, FLOPs, hours and bytes, before anything runs."""
