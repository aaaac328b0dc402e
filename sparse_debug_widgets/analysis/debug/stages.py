"""The layers that a report compares, and the columns of its suspects."""

DENSE, SPARSE, SILENCED = "dense", "sparse", "silenced"
STAGES = {
    DENSE: "the model's own layer",
    SPARSE: "the sparse layer",
    SILENCED: "the sparse layer, features silenced",
}
