//! Errors that cross rooms, by reaction (see the style guide): refuse, end the leg, degrade.

/// Why the engine could not start. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address is taken or not ours.
    #[error("{key}: cannot listen on {address}: {source}; free the port or change `{key}` in the configuration")]
    Listen {
        /// Configuration key, such as `sip.listen`.
        key: &'static str,
        /// The address that was asked for.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A value that parsed but cannot be used.
    #[error("{key}: {problem}")]
    Config {
        /// Configuration key.
        key: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A folder cannot be used.
    #[error("{path}: {source}; choose a folder that this user may write")]
    Folder {
        /// The folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a capture, of media or of calls, cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("the capture cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// A line does not belong to a capture.
    #[error("line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// The fault, and the form that was expected.
        problem: String,
    },
}

/// Why a leg or call ended, in the field's words.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HangupCause {
    /// A party hung up.
    Normal,
    /// The API or an operator ended it.
    Requested,
    /// 486, 600.
    Busy,
    /// 408, 480, or our own ring time-out.
    NoAnswer,
    /// 403, 603.
    Rejected,
    /// 404, 484, 604.
    NotFound,
    /// 488, 606: no codec in common.
    Incompatible,
    /// The caller gave up before the answer.
    Cancelled,
    /// 5xx, transport errors, an unreachable trunk.
    Unreachable,
    /// Media or signalling stopped without a word.
    MediaTimeout,
    /// It lasted as long as a call may (`sip.max_call_s`).
    MaxDuration,
    /// A fault of ours; the log has the details.
    Internal,
    /// A party was joined with another call's, which goes on in this one's place.
    Transferred,
    /// The server is shutting down.
    Shutdown,
}

impl HangupCause {
    /// The cause that a final SIP response means for a call.
    pub fn from_sip_status(code: u16) -> HangupCause {
        match code {
            486 | 600 => HangupCause::Busy,
            408 | 480 => HangupCause::NoAnswer,
            403 | 603 | 607 | 608 | 401 | 407 => HangupCause::Rejected,
            404 | 410 | 484 | 604 => HangupCause::NotFound,
            415 | 488 | 606 => HangupCause::Incompatible,
            487 => HangupCause::Cancelled,
            _ => HangupCause::Unreachable,
        }
    }

    /// The final SIP response that tells a caller about this cause.
    pub fn sip_status(&self) -> u16 {
        match self {
            HangupCause::Normal
            | HangupCause::Requested
            | HangupCause::Unreachable
            | HangupCause::Transferred
            | HangupCause::MaxDuration => 480,
            HangupCause::Busy => 486,
            HangupCause::NoAnswer => 480,
            HangupCause::Rejected => 403,
            HangupCause::NotFound => 404,
            HangupCause::Incompatible => 488,
            HangupCause::Cancelled => 487,
            HangupCause::MediaTimeout | HangupCause::Internal => 500,
            HangupCause::Shutdown => 503,
        }
    }

    /// The cause value of ITU-T Q.850 that tells a party about this cause, as gateways pass it on.
    pub fn q850(&self) -> u8 {
        match self {
            HangupCause::Normal | HangupCause::Requested | HangupCause::Transferred | HangupCause::Cancelled => 16,
            HangupCause::Busy => 17,
            HangupCause::NoAnswer => 19,
            HangupCause::Rejected => 21,
            HangupCause::NotFound => 1,
            HangupCause::Incompatible => 88,
            HangupCause::Unreachable => 38,
            HangupCause::MediaTimeout | HangupCause::MaxDuration => 102,
            HangupCause::Internal | HangupCause::Shutdown => 41,
        }
    }

    /// The cause that a value of Q.850 means, when we have a word for it.
    pub fn from_q850(value: u8) -> Option<HangupCause> {
        match value {
            16 | 31 => Some(HangupCause::Normal),
            1..=3 | 22 | 28 => Some(HangupCause::NotFound),
            17 => Some(HangupCause::Busy),
            18..=20 => Some(HangupCause::NoAnswer),
            21 => Some(HangupCause::Rejected),
            27 | 34..=47 => Some(HangupCause::Unreachable),
            65 | 79 | 88 => Some(HangupCause::Incompatible),
            102 => Some(HangupCause::MediaTimeout),
            _ => None,
        }
    }

    /// The word that API and store use.
    pub fn as_str(&self) -> &'static str {
        match self {
            HangupCause::Normal => "normal",
            HangupCause::Requested => "requested",
            HangupCause::Busy => "busy",
            HangupCause::NoAnswer => "no_answer",
            HangupCause::Rejected => "rejected",
            HangupCause::NotFound => "not_found",
            HangupCause::Incompatible => "incompatible",
            HangupCause::Cancelled => "cancelled",
            HangupCause::Unreachable => "unreachable",
            HangupCause::MediaTimeout => "media_timeout",
            HangupCause::MaxDuration => "max_duration",
            HangupCause::Internal => "internal",
            HangupCause::Transferred => "transferred",
            HangupCause::Shutdown => "shutdown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HangupCause;

    #[test]
    fn causes_that_are_told_by_q_850_are_understood() {
        for cause in [
            HangupCause::Normal,
            HangupCause::Busy,
            HangupCause::NoAnswer,
            HangupCause::Rejected,
            HangupCause::NotFound,
            HangupCause::Incompatible,
            HangupCause::Unreachable,
            HangupCause::MediaTimeout,
        ] {
            assert_eq!(HangupCause::from_q850(cause.q850()), Some(cause));
        }
        assert_eq!(HangupCause::from_q850(42), Some(HangupCause::Unreachable));
        assert_eq!(HangupCause::from_q850(127), None);
    }
}
