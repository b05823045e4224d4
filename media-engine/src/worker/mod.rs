//! Pinned media threads that own legs whole.
