//! Turns the regular expressions of paths, which are .NET's, into those of the
//! `regex` crate (device-mapping.md 6.5).
//!
//! Most patterns mean the same in both; what is written differently is
//! rewritten. Look-around, back references and named Unicode blocks cannot be
//! expressed and are refused when the mapping loads (quirk 49).

use regex::{Regex, RegexBuilder};

/// Compiles `/pattern/flags`. As in the reference connector the pattern is what
/// stands between the first character and the last slash.
pub(super) fn compile(text: &str, size_max: usize) -> Result<Regex, String> {
    const FORM: &str = "a regular expression is written /pattern/";
    let (delimited, flags) = text.rsplit_once('/').ok_or(FORM)?;
    let first = delimited.chars().next().ok_or(FORM)?;
    let pattern = &delimited[first.len_utf8()..];
    // `x` is explicit capture, which changes no match; other letters nothing.
    let mut builder = RegexBuilder::new(&translate(pattern, flags.contains('m')));
    builder.case_insensitive(flags.contains('i')).multi_line(flags.contains('m'));
    builder.dot_matches_new_line(flags.contains('s')).size_limit(size_max);
    builder.build().map_err(|error| format!("the regular expression cannot be used: {}", reason(&error)))
}

/// How many bytes a compiled pattern of a mapping may take. The crate's own
/// limit is ten times as much.
pub(super) const SIZE_MAX: usize = 1 << 20;

/// The same for a pattern that stands in a document, which is compiled for
/// each comparison.
pub(super) const DOCUMENT_SIZE_MAX: usize = 1 << 16;

/// The last line of the crate's message; those before it draw the pattern.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

fn translate(pattern: &str, is_multi_line: bool) -> String {
    let multi_line = is_multi_line || pattern.contains("(?m") || pattern.contains("(?im");
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut class_depth = 0;
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => translate_escape(rest.next(), class_depth > 0, &mut out),
            '[' if class_depth > 0 && !out.ends_with('-') => out.push_str("\\["),
            '[' => {
                // `[a-z-[aeiou]]` is a difference, here written with `--`.
                out.push_str(if class_depth > 0 { "-[" } else { "[" });
                class_depth += 1;
                if rest.as_str().starts_with('^') {
                    out.extend(rest.next());
                }
                if rest.as_str().starts_with(']') {
                    rest.next();
                    out.push_str("\\]");
                }
            }
            ']' if class_depth > 0 => {
                class_depth -= 1;
                out.push(']');
            }
            '&' | '~' if class_depth > 0 => out.extend(['\\', c]),
            _ if class_depth > 0 => out.push(c),
            // The end, or before a line feed at the end.
            '$' if !multi_line => out.push_str("(?:\\n?\\z)"),
            '{' if !is_repetition(rest.as_str()) => out.push_str("\\{"),
            _ => out.push(c),
        }
    }
    out
}

fn translate_escape(escaped: Option<char>, in_class: bool, out: &mut String) {
    match escaped {
        // To the crate these two are word boundaries.
        Some(c @ ('<' | '>')) => out.push(c),
        Some('Z') if !in_class => out.push_str("(?:\\n?\\z)"),
        Some('e') => out.push_str("\\x1B"),
        Some('b') if in_class => out.push_str("\\x08"),
        Some(c) => out.extend(['\\', c]),
        None => out.push('\\'),
    }
}

/// Whether what follows `{` makes it a repetition and not a brace.
fn is_repetition(rest: &str) -> bool {
    let Some((inner, _)) = rest.split_once('}') else { return false };
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    !least.is_empty() && least.bytes().chain(most.bytes()).all(|c| c.is_ascii_digit())
}
