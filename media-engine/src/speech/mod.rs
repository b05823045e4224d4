//! Speech recognition, translation and synthesis providers.
