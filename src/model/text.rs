//! Text from outside.

/// Whether a character could move a terminal's cursor, break a line, or turn the direction of writing.
pub(crate) fn disturbs(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::disturbs;

    #[test]
    fn what_could_change_more_than_itself_disturbs_and_letters_of_all_scripts_do_not() {
        for letter in ['\n', '\u{1b}', '\u{7f}', '\u{9b}', '\u{61c}', '\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}'] {
            assert!(disturbs(letter), "{letter:?}");
        }
        for letter in ['a', ' ', 'é', 'ж', 'א', '日', '…', '–'] {
            assert!(!disturbs(letter), "{letter:?}");
        }
    }
}
