//! Gain, ducking, mixing and taps over linear samples.
