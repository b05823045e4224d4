//! Call state: transition(state, input) -> effects.
