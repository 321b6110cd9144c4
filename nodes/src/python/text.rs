//! Python's string methods, where Rust's differ.

/// Whether Python's `strip` removes the character: Unicode white space, and the ASCII separators 0x1C to 0x1F.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `text[start:end]`, counted in characters; negative numbers count from the end.
pub fn slice(text: &str, start: i128, end: i128) -> String {
    let count = text.chars().count() as i128;
    let place = |at: i128| if at < 0 { (at + count).max(0) } else { at.min(count) } as usize;
    let (start, end) = (place(start), place(end));
    text.chars().skip(start).take(end.saturating_sub(start)).collect()
}

/// `text.capitalize()`: the first character in title case, the rest in lower case.
pub fn capitalize(text: &str) -> String {
    let mut rest = text.chars();
    let Some(first) = rest.next() else { return String::new() };
    // The whole text is lowered, because the form of a sigma depends on its neighbours.
    let lowered: String = text.to_lowercase();
    let skip = first.to_lowercase().count();
    title_case(first).chain(lowered.chars().skip(skip)).collect()
}

/// `text.title()`: each character that follows no cased one in title case, the others in lower case.
pub fn title(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut in_word = false;
    for (at, &c) in chars.iter().enumerate() {
        match (in_word, c) {
            (true, 'Σ') => out.push(if ends_word(&chars, at) { 'ς' } else { 'σ' }),
            (true, c) => out.extend(c.to_lowercase()),
            (false, c) => out.extend(title_case(c)),
        }
        in_word = is_cased(c);
    }
    out
}

/// Whether a sigma here ends its word: the next character, apart from case-ignorable ones, is not cased.
fn ends_word(chars: &[char], at: usize) -> bool {
    let ignored = |c: char| matches!(c, '\'' | '.' | ':' | '^' | '`' | '’' | '·' | '\u{ad}' | '\u{300}'..='\u{36f}');
    !chars[at + 1..].iter().find(|&&c| !ignored(c)).is_some_and(|&c| is_cased(c))
}

/// Whether a character has upper, lower or title case.
fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || is_title(c)
}

/// Characters in title case: digraphs with only the first letter in upper case, and Greek letters with iota subscript.
fn is_title(c: char) -> bool {
    matches!(c,
        'ǅ' | 'ǈ' | 'ǋ' | 'ǲ' | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}' | '\u{1fa8}'..='\u{1faf}'
        | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
}

/// A character in title case. If it has no title case form, this is its upper case, with all but the first character
/// lowered.
fn title_case(c: char) -> impl Iterator<Item = char> {
    let own = |first: u32| vec![char::from_u32(first).unwrap_or(c)];
    let code = c as u32;
    let special = match c {
        'Ǆ'..='ǌ' => own(0x1c5 + (code - 0x1c4) / 3 * 3),
        'Ǳ'..='ǳ' => own(0x1f2),
        // Georgian capitals are used for whole words only.
        '\u{10d0}'..='\u{10fa}' | '\u{10fd}'..='\u{10ff}' => own(code),
        '\u{1f80}'..='\u{1faf}' => own(code | 8),
        '\u{1fb3}' | '\u{1fbc}' => own(0x1fbc),
        '\u{1fc3}' | '\u{1fcc}' => own(0x1fcc),
        '\u{1ff3}' | '\u{1ffc}' => own(0x1ffc),
        '\u{149}' => vec!['\u{2bc}', 'N'],
        // The iota stays a subscript.
        _ if c.to_uppercase().last() == Some('Ι') && c.to_uppercase().count() > 1 => {
            let mut upper: Vec<char> = c.to_uppercase().collect();
            upper.pop();
            upper.push('\u{345}');
            upper
        }
        _ => {
            let mut upper = c.to_uppercase();
            let first = upper.next().unwrap_or(c);
            std::iter::once(first).chain(upper.flat_map(char::to_lowercase)).collect()
        }
    };
    special.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures from Python 3.12.
    #[test]
    fn cases() {
        assert_eq!(title("hello wORLD, it's ǆ"), "Hello World, It'S ǅ");
        assert_eq!(title("ﬁne ß 2nd ΑΣ ΑΣΑ"), "Fine Ss 2Nd Ας Ασα");
        assert_eq!(capitalize("éCOLE ΟΔΟΣ"), "École οδος");
        assert_eq!(capitalize("ßX"), "Ssx");
        assert_eq!(capitalize(""), "");
    }

    #[test]
    fn slices() {
        assert_eq!(slice("héllo wörld", 1, 7), "éllo w");
        assert_eq!(slice("héllo", -3, -1), "ll");
        assert_eq!(slice("héllo", 3, 1), "");
        assert_eq!(slice("héllo", -99, 99), "héllo");
    }

    #[test]
    fn spaces() {
        assert_eq!("\u{1f}\u{a0} x\u{3000}".trim_matches(is_space), "x");
        assert!(!is_space('\u{200b}'));
    }
}
