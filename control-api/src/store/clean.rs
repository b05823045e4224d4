//! Makes external texts fit for every column: no control characters, bounded lengths.
//!
//! This is the last check before the database, for texts that SIP and the API let through and for texts of providers: a
//! call must not lose its row because of a text. PostgreSQL refuses NUL in any text, and index entries above 2,704
//! bytes.

use super::{Change, RecordedChannel};

/// Longest name, number or URI, in characters. At four bytes each they stay far below the limit of an index entry.
const NAME_MAX: usize = 256;
/// Longest transcript, translation or cause of failure, in characters.
const TEXT_MAX: usize = 16_384;
/// Longest path of a file, in characters: `PATH_MAX` of Linux.
const PATH_MAX: usize = 4_096;
/// Replaces a control character.
const REPLACEMENT: char = '\u{fffd}';

/// Returns the change with texts that every column accepts.
pub(super) fn clean_change(change: &Change) -> Change {
    let mut change = change.clone();
    match &mut change {
        Change::CallCreated { call, .. } => {
            name(&mut call.to);
            for text in [&mut call.mode, &mut call.from, &mut call.agent].into_iter().flatten() {
                name(text);
            }
            name(&mut call.config.translate_from);
            name(&mut call.config.translate_to);
        }
        Change::CallUnassigned { call, .. } => {
            name(&mut call.to);
            [&mut call.from, &mut call.agent].into_iter().flatten().for_each(name);
            name(&mut call.config.translate_from);
            name(&mut call.config.translate_to);
        }
        Change::CallStatus { cause, .. } => cause.iter_mut().for_each(name),
        Change::Leg { peer, agent, codec, ending, .. } => {
            name(peer);
            agent.iter_mut().for_each(name);
            codec.iter_mut().for_each(name);
            ending.iter_mut().filter_map(|ending| ending.text.as_mut()).for_each(name);
        }
        Change::Transfer { to, cause, .. } => {
            name(to);
            cause.iter_mut().for_each(name);
        }
        Change::Parked { parked_by, .. } => parked_by.iter_mut().for_each(name),
        Change::Play { note, .. } => note.iter_mut().for_each(prose),
        Change::Gathered { digits, .. } => name(digits),
        Change::Program { news, .. } => {
            news.digits.iter_mut().for_each(name);
            news.detail.iter_mut().for_each(prose);
        }
        Change::Recording { path, note, channels, .. } => {
            // A path with a control character is still the path of the file.
            fit(path, PATH_MAX, |c| c == '\0');
            note.iter_mut().for_each(prose);
            names(channels);
        }
        Change::RecordingSeated { channels, .. } => names(channels),
        Change::Dtmf { digit, .. } => {
            if digit.is_control() {
                *digit = REPLACEMENT;
            }
        }
        Change::Listening { listeners, .. } => {
            listeners.iter_mut().for_each(|listener| name(&mut listener.language));
        }
        Change::Translation { event, .. } => {
            for text in [&mut event.leg, &mut event.source_language, &mut event.target_language] {
                name(text);
            }
            prose(&mut event.text);
            event.translation.iter_mut().for_each(prose);
        }
        Change::LegSeat { .. }
        | Change::Unparked { .. }
        | Change::ActiveSpeaker { .. }
        | Change::LegQuality { .. }
        | Change::LegFlow { .. }
        // All its words are the engine's own.
        | Change::Amd { .. }
        | Change::RecordingPaused { .. }
        | Change::MediaTimeout { .. } => {}
    }
    change
}

fn names(channels: &mut [RecordedChannel]) {
    for channel in channels {
        name(&mut channel.peer);
        channel.agent.iter_mut().for_each(name);
    }
}

fn name(text: &mut String) {
    fit(text, NAME_MAX, char::is_control);
}

fn prose(text: &mut String) {
    fit(text, TEXT_MAX, |c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
}

/// Replaces `unfit` characters and shortens the text to `most` characters, the last of which is then an ellipsis.
fn fit(text: &mut String, most: usize, unfit: fn(char) -> bool) {
    if let Some((cut, _)) = text.char_indices().nth(most) {
        let last = text[..cut].char_indices().next_back().map_or(0, |(last, _)| last);
        text.truncate(last);
        text.push('…');
    }
    if text.contains(unfit) {
        *text = text.replace(unfit, &REPLACEMENT.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(text: &str, most: usize) -> String {
        let mut text = text.to_owned();
        fit(&mut text, most, char::is_control);
        text
    }

    #[test]
    fn control_characters_are_replaced_and_long_texts_are_shortened() {
        assert_eq!(fitted("+15550142", 9), "+15550142");
        assert_eq!(fitted("+15550142", 8), "+155501…");
        assert_eq!(fitted("\0evil\u{9f}", 9), "\u{fffd}evil\u{fffd}");
        assert_eq!(fitted("ñandúñandú", 4), "ñan…");
        assert_eq!(fitted("", 4), "");
        for most in 1..12 {
            assert_eq!(fitted("日本語のとても長い名前", most).chars().count(), most.min(11));
        }
    }
}
