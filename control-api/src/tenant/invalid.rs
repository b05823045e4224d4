//! Value that a rule of the organization does not accept.

/// Value that cannot be used: its field and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {expected}")]
pub struct Invalid {
    /// Field of the request, such as `config.translate_to`.
    pub field: String,
    /// Sentence that says what was expected.
    pub expected: String,
}

impl Invalid {
    /// Creates the error for this field.
    pub(crate) fn new(field: impl Into<String>, expected: impl Into<String>) -> Invalid {
        Invalid { field: field.into(), expected: expected.into() }
    }
}
