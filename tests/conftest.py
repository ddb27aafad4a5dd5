"""What holds for every test."""

from hypothesis import settings

# An example may take as long as a loaded machine lets it; tests have time-outs.
settings.register_profile("headgate", deadline=None)
settings.load_profile("headgate")
