"""The real configurations: their input, the program that runs them, and tests on real data."""
