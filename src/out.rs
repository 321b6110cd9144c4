//! What is printed: stdout for what was asked for, stderr for everything else. Nothing of a workflow reaches a terminal raw.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::Value as Json;

/// Why stdout could not be written, once it could not.
static FAILED: Mutex<Option<String>> = Mutex::new(None);

/// What stopped the writing to stdout, if anything did. That nobody reads any more (`redraft run ... | head`) is no error.
pub(crate) fn failure() -> Option<String> {
    note(std::io::stdout().flush());
    FAILED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn note(written: std::io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.to_string());
    }
}

/// Writes a line to stdout.
pub(crate) fn say(line: impl Display) {
    let line = line.to_string();
    note(writeln!(std::io::stdout(), "{}", plain(&line)));
}

/// Writes a text of several lines to stdout.
pub(crate) fn say_text(text: impl Display) {
    let text = text.to_string();
    note(writeln!(std::io::stdout(), "{}", plain_text(&text)));
}

/// Writes a JSON value to stdout: on one line, or over several for people.
pub(crate) fn say_json(value: &Json, pretty: bool) {
    let text = if pretty { format!("{value:#}") } else { value.to_string() };
    say_json_text(&text);
}

/// Writes JSON that is a text already to stdout.
pub(crate) fn say_json_text(text: &str) {
    note(writeln!(std::io::stdout(), "{}", plain_json(text)));
}

/// Writes a path to stdout: as a line that a person can read, or exactly, with a NUL behind it.
pub(crate) fn say_path(path: &Path, exactly: bool) {
    if !exactly {
        return say(path.display());
    }
    #[cfg(unix)]
    let bytes = Cow::Borrowed(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
    #[cfg(not(unix))]
    let bytes: Cow<'_, [u8]> = Cow::Owned(path.to_string_lossy().into_owned().into_bytes());
    let mut stdout = std::io::stdout();
    note(stdout.write_all(&bytes).and_then(|()| stdout.write_all(&[0])).and_then(|()| stdout.flush()));
}

/// Writes a line to stderr.
pub(crate) fn tell(line: impl Display) {
    let line = line.to_string();
    let _ = writeln!(std::io::stderr(), "{}", plain(&line));
}

/// Writes a text of several lines to stderr.
pub(crate) fn tell_text(text: impl Display) {
    let text = text.to_string();
    let _ = writeln!(std::io::stderr(), "{}", plain_text(&text));
}

/// Whether a character may change more than the place it stands in: controls, and what turns the direction of writing.
fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text with such characters written out, `\n` and `\u{1b}`.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false, |c, out| out.extend(c.escape_default()))
}

/// The same for a text of several lines.
fn plain_text(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n' || c == '\t', |c, out| out.extend(c.escape_default()))
}

/// The same for JSON, in JSON's way.
fn plain_json(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n', |c, out| out.push_str(&format!("\\u{:04x}", u32::from(c))))
}

fn escaped(text: &str, stays: fn(char) -> bool, write: fn(char, &mut String)) -> Cow<'_, str> {
    if !text.chars().any(|c| acts(c) && !stays(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) && !stays(c) { write(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_20_what_acts_on_a_terminal_is_written_out() {
        assert_eq!(plain("a\u{1b}[2J\nb\u{9b}\u{202e}ä猫"), "a\\u{1b}[2J\\nb\\u{9b}\\u{202e}ä猫");
        assert_eq!(plain_text("a\n\tb\r\u{7}"), "a\n\tb\\r\\u{7}");
        let json = serde_json::json!({"a\u{7f}": "\u{85}\u{2066}\n"});
        let text = json.to_string();
        let written = plain_json(&text);
        assert!(written.is_ascii());
        assert_eq!(serde_json::from_str::<Json>(&written).ok(), Some(json));
    }
}
