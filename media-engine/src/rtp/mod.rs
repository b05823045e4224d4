//! RTP packet view, sequence and timestamp arithmetic, statistics (RFC 3550).
