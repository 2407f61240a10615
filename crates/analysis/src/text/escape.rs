//! Text from files of others, made safe to show.

use std::borrow::Cow;

/// True if a character has no picture of its own: a control character, an end of a line or paragraph, one that turns
/// the direction of the text around it, or one that XML does not allow.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}'
        )
}

/// One line of text with a replacement character for each hidden one.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    match text.contains(is_hidden) {
        true => text.replace(is_hidden, "\u{fffd}").into(),
        false => text.into(),
    }
}

/// Several lines of text with hidden characters replaced; ends of lines and tabs stay.
pub(crate) fn lines(text: String) -> String {
    let hidden = |character| is_hidden(character) && !matches!(character, '\n' | '\t');
    if text.contains(hidden) { text.replace(hidden, "\u{fffd}") } else { text }
}

/// Text for XML and HTML, inside elements and inside quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(character),
            // XML has no place for most of them, not even escaped.
            hidden if is_hidden(hidden) => escaped.push(char::REPLACEMENT_CHARACTER),
            other => escaped.push(other),
        }
    }
    escaped
}
