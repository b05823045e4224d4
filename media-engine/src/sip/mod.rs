//! Sans-IO SIP core (RFC 3261).

pub mod endpoint;
pub(crate) mod transaction;
pub mod trunk;
pub(crate) mod wheel;

pub use endpoint::{
    DialogId, Endpoint, EndpointConfig, Flow, FlowId, Limits, SipCommand, SipEvent, SipOutput, Sizes, Source, Target,
    Transport,
};
pub use trunk::Trunk;
