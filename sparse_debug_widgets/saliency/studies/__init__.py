"""Questions about maps: the sweep over lambda_1, the eigenpairs, rank one, agreement over a data set."""
