"""How sure a number is and whether two differ: resampling, paired tests, correction for many of them. Pure numpy and scipy."""
