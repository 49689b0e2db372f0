"""The embedded demo: a phantom of tendon, its imaging, and the person who annotates it."""
