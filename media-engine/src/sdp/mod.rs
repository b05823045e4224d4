//! Session descriptions: offer and answer (RFC 3264).

mod codec;

pub use codec::{Codec, Direction, TelephoneEventFormat};
