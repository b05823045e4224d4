//! End-to-end tests: the real binary over real sockets, with sipp, baresip, linphone, Kamailio, browsers and coturn as its peers.
//!
//! Each test starts its own server on its own ports. Tests that judge audio run one at a time (`.config/nextest.toml`), because
//! two cores suffice for one browser and one server only.

mod abuse;
mod amd;
mod api;
mod browser;
mod causes;
mod channels;
mod demo;
mod dialogs;
mod gate;
mod interpreting;
mod ipv6;
mod kamailio;
mod linphone;
mod many;
mod media;
mod openapi;
mod pages;
mod parking;
mod parties;
mod phone;
mod programs;
mod prompts;
mod recording;
mod relay;
mod reload;
mod slow_peer;
mod softphone;
mod stays;
mod store;
mod torture;
mod trace;
mod transfer;
mod translate;
mod trunk;
mod turn;
mod verbs;
mod waiting;
