"""Routers: the posterior or its rate learned by networks, a hard classifier, and the prior alone."""
