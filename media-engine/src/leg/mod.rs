//! One media leg: plain RTP or WebRTC.

pub mod webrtc;
