"""The layers that a report compares, and the columns of its suspects."""

DENSE, SPARSE, SILENCED, REFIT = "dense", "sparse", "silenced", "refit"
STAGES = {
    DENSE: "the model's own layer",
    SPARSE: "the sparse layer",
    SILENCED: "the sparse layer, features silenced",
    REFIT: "fitted again on coin-tossed copies",
}
