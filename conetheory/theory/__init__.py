"""The mathematics: arrays in, numbers out, for numpy and torch alike. No torch is imported."""
