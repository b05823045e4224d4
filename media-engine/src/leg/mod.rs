//! One media leg: plain RTP or WebRTC.
