//! Rules of an organization, as values and pure functions: no HTTP, no SQL, no clock.
//!
//! `voice_config`: processing of a call's audio. `amd`: what follows from what answers a call. `capabilities`: switches that
//! take precedence over both. `glossary`: terms and names for recognisers and translators. `rbac`: what a role may do. `number`:
//! telephone numbers as people write them. `text`: names and notes. `invalid`: the error of all of them, which names the field and what
//! was expected.

pub mod amd;
pub mod capabilities;
pub mod glossary;
pub mod rbac;
pub mod voice_config;

pub(crate) mod invalid;
pub(crate) mod number;
pub(crate) mod role;
pub(crate) mod text;
