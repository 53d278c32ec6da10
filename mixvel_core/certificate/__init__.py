"""Certificate: a run's constants and bounds beside what is measured along its own trajectories (`mixvel theory`)."""
