"""A template for each kind of plugin: a project that installs, runs and passes its own tests as it is written."""
