//! Keys that arrive in SIP INFO requests (`application/dtmf-relay`, `application/dtmf`).

use super::CallTask;
use crate::call::KeyWay;
use crate::engine::leg::Leg;
use crate::units::LegId;
use crate::worker::WorkerCommand;

impl CallTask {
    pub(super) fn on_info(&mut self, leg: LegId, content_type: &str, body: &str) {
        let Some((digit, duration_ms)) = dtmf_of_info(content_type, body) else { return };
        if !self.on_key(leg, digit, duration_ms, KeyWay::Info) {
            return;
        }
        let hears = |other: &&Leg| self.call.is_talking() && self.topology.joins(leg, other.id);
        for leg in self.legs.iter().filter(hears).filter_map(Leg::media) {
            self.media_command(WorkerCommand::SendDtmf { leg, digit, duration_ms });
        }
    }
}

/// Returns the key in an INFO body: `Signal=5\r
/// Duration=160` or only the key.
fn dtmf_of_info(content_type: &str, body: &str) -> Option<(char, u32)> {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (signal, duration) = match kind.as_str() {
        "application/dtmf-relay" => {
            let field = |name: &str| {
                body.lines().find_map(|line| {
                    let (key, value) = line.split_once('=')?;
                    key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
                })
            };
            (field("signal")?, field("duration").and_then(|text| text.parse().ok()).unwrap_or(160))
        }
        "application/dtmf" => (body.trim(), 160),
        _ => return None,
    };
    let mut characters = signal.chars();
    let digit = characters.next()?.to_ascii_uppercase();
    let known = digit.is_ascii_digit() || matches!(digit, '*' | '#' | 'A'..='D');
    (known && characters.next().is_none()).then_some((digit, duration.clamp(40, 5_000)))
}

#[cfg(test)]
mod tests {
    use super::dtmf_of_info;

    #[test]
    fn keys_are_read_from_both_forms_of_info() {
        for (kind, body, key) in [
            ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", Some(('5', 160))),
            ("application/dtmf-relay", "signal= * \nduration= 1", Some(('*', 40))),
            ("Application/DTMF-Relay; charset=utf-8", "Signal=#", Some(('#', 160))),
            ("application/dtmf", "d", Some(('D', 160))),
            ("application/dtmf", "12", None),
            ("application/dtmf-relay", "Duration=160", None),
            ("text/plain", "5", None),
        ] {
            assert_eq!(dtmf_of_info(kind, body), key, "{kind} {body:?}");
        }
    }
}
