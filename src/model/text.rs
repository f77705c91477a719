//! Text from outside.

/// Whether a character could move a terminal's cursor, break a line, or turn the direction of writing.
pub(crate) fn disturbs(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
