//! Errors that more than one module returns, grouped by the reaction they call for: refuse, end the leg, degrade.

/// Why the engine could not start. The text of each error says how to fix it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address of a listener is in use or does not belong to this machine.
    #[error("{key}: cannot listen on {address}: {source}; free the port or change `{key}` in the configuration")]
    Listen {
        /// Configuration key, such as `sip.listen`.
        key: &'static str,
        /// Address that was to be bound.
        address: String,
        /// Error that the operating system returned.
        source: std::io::Error,
    },
    /// A configuration value could be parsed but cannot be used.
    #[error("{key}: {problem}")]
    Config {
        /// Configuration key, such as `sip.listen`.
        key: String,
        /// The fault, and the form that was expected.
        problem: String,
    },
    /// A folder cannot be created, read or written.
    #[error("{path}: {source}; choose a folder that this user may write")]
    Folder {
        /// Path of the folder.
        path: String,
        /// Error that the operating system returned.
        source: std::io::Error,
    },
}

/// Why a capture of media or of calls cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Reading the capture failed.
    #[error("the capture cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// A line does not belong to a capture.
    #[error("line {line}: {problem}")]
    Line {
        /// Line number, counted from 1.
        line: u64,
        /// The fault, and the form that was expected.
        problem: String,
    },
}

/// Why a leg or call ended, in terms common in telephony.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HangupCause {
    /// A party hung up.
    Normal,
    /// The API or an operator ended the call.
    Requested,
    /// The called party is busy: 486, 600.
    Busy,
    /// No answer: 408, 480, or the engine's own ring time-out.
    NoAnswer,
    /// The called party or its server declined: 403, 603.
    Rejected,
    /// The number or user does not exist: 404, 484, 604.
    NotFound,
    /// The parties have no codec in common: 488, 606.
    Incompatible,
    /// The caller gave up before the answer.
    Cancelled,
    /// The called party could not be reached: 5xx, transport errors, an unreachable trunk.
    Unreachable,
    /// Media or signalling stopped without notice.
    MediaTimeout,
    /// The call reached the maximum duration (`sip.max_call_s`).
    MaxDuration,
    /// A fault of the engine; the log has the details.
    Internal,
    /// A party was joined with a party of another call, and that call continues in place of this one.
    Transferred,
    /// Not a person answered, and the call was to end then.
    NotHuman,
    /// The server is shutting down.
    Shutdown,
}

impl HangupCause {
    /// Returns the cause that a final SIP response indicates.
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

    /// Returns the status code of the final SIP response that reports this cause to a caller.
    pub fn sip_status(&self) -> u16 {
        match self {
            HangupCause::Normal
            | HangupCause::Requested
            | HangupCause::Unreachable
            | HangupCause::Transferred
            | HangupCause::NotHuman
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

    /// Returns the ITU-T Q.850 cause value that reports this cause to a party, as gateways pass it on.
    pub fn q850(&self) -> u8 {
        match self {
            HangupCause::Normal
            | HangupCause::Requested
            | HangupCause::Transferred
            | HangupCause::NotHuman
            | HangupCause::Cancelled => 16,
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

    /// Returns the cause that a Q.850 value indicates; `None` when no variant matches.
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

    /// Returns the name that the API and the store use.
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
            HangupCause::NotHuman => "not_human",
            HangupCause::Shutdown => "shutdown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HangupCause;

    #[test]
    fn causes_sent_as_q_850_values_are_read_back() {
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
