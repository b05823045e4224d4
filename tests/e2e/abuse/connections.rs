//! Connections that send nothing, too much, or never read.
