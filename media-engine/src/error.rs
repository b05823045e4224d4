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
            HangupCause::Normal | HangupCause::Requested | HangupCause::Unreachable | HangupCause::Transferred => 480,
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
            HangupCause::Internal => "internal",
            HangupCause::Transferred => "transferred",
            HangupCause::Shutdown => "shutdown",
        }
    }
}
