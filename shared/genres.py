"""The genres that a track can be compared with. Their targets stand in the analysis's own table, under the same ids."""

GENRES = (
    "progressive-trance",
    "funk-mandela",
    "funk-bruxaria",
    "funk-bh",
    "eletrofunk",
    "edm",
    "eletronico",
    "trap",
    "pop",
    "rock",
    "hip-hop",
    "acoustic",
)
