//! Reordering, delay estimate, playout with drift correction.
