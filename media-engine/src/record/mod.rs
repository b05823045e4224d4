//! Timeline of a recording: two channels on one clock.
