//! Turns the regular expressions of paths, which are .NET's, into those of the
//! `regex` crate (device-mapping.md 6.5).
//!
//! Most patterns mean the same in both; what is written differently is
//! rewritten, and every one runs in linear time. Look-around and back
//! references cannot be expressed so and are refused when the mapping loads
//! (quirk 49), unless the caller lets them run by backtracking, up to a limit.
//! Named Unicode blocks are refused in any case.

use regex::RegexBuilder;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// Runs in linear time.
    Linear(regex::Regex),
    /// Has look-around or back references.
    Backtracking(fancy_regex::Regex),
}

/// How many bytes a compiled pattern of a mapping may take. The crate's own
/// limit is ten times as much.
pub(super) const SIZE_MAX: usize = 1 << 20;

/// The same for a pattern that stands in a document, which is compiled for
/// each comparison.
pub(super) const DOCUMENT_SIZE_MAX: usize = 1 << 16;

/// How often one match may go back: some milliseconds. The reference connector
/// has no such limit, and stands still on a pattern that needs more.
const BACKTRACKS_MAX: usize = 100_000;

/// A match went back too often. Quotes neither text nor pattern.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a regular expression goes back more than {BACKTRACKS_MAX} times over one text")]
pub(super) struct TooManyBacktracks;

impl Pattern {
    /// Compiles `/pattern/flags`. As in the reference connector the pattern is
    /// what stands between the first character and the last slash.
    pub(super) fn compile(text: &str, may_backtrack: bool, size_max: usize) -> Result<Pattern, String> {
        const FORM: &str = "a regular expression is written /pattern/";
        let (delimited, flags) = text.rsplit_once('/').ok_or(FORM)?;
        let first = delimited.chars().next().ok_or(FORM)?;
        let flags = Flags::read(flags);
        let pattern = translate(&delimited[first.len_utf8()..], flags);
        let mut builder = RegexBuilder::new(&pattern);
        builder.case_insensitive(flags.ignore_case).multi_line(flags.multi_line);
        builder.dot_matches_new_line(flags.single_line).size_limit(size_max);
        match builder.build() {
            Ok(regex) => Ok(Pattern::Linear(regex)),
            Err(_) if may_backtrack => backtracking(&pattern, flags),
            Err(error) => Err(unusable(&error.to_string())),
        }
    }

    /// Whether a part of `text` matches.
    pub(super) fn is_match(&self, text: &str) -> Result<bool, TooManyBacktracks> {
        match self {
            Pattern::Linear(regex) => Ok(regex.is_match(text)),
            Pattern::Backtracking(regex) => regex.is_match(text).map_err(|_| TooManyBacktracks),
        }
    }
}

fn backtracking(pattern: &str, flags: Flags) -> Result<Pattern, String> {
    let mut builder = fancy_regex::RegexBuilder::new(pattern);
    builder.case_insensitive(flags.ignore_case).multi_line(flags.multi_line);
    builder.dot_matches_new_line(flags.single_line);
    builder.delegate_size_limit(SIZE_MAX).backtrack_limit(BACKTRACKS_MAX);
    builder.build().map(Pattern::Backtracking).map_err(|error| unusable(&error.to_string()))
}

/// The letters after a pattern; others say nothing.
#[derive(Clone, Copy)]
struct Flags {
    ignore_case: bool,
    multi_line: bool,
    single_line: bool,
    /// `x`: only groups with a name are kept for back references. It is not
    /// "extended": blanks in the pattern count.
    explicit_capture: bool,
}

impl Flags {
    fn read(letters: &str) -> Flags {
        let has = |letter| letters.contains(letter);
        Flags { ignore_case: has('i'), multi_line: has('m'), single_line: has('s'), explicit_capture: has('x') }
    }
}

/// The last line of a crate's message; those before it draw the pattern.
fn unusable(text: &str) -> String {
    let last = text.lines().last().unwrap_or_default();
    format!("the regular expression cannot be used: {}", last.strip_prefix("error: ").unwrap_or(last))
}

fn translate(pattern: &str, flags: Flags) -> String {
    let multi_line = flags.multi_line || pattern.contains("(?m") || pattern.contains("(?im");
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut class_depth = 0;
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                let escaped = rest.next();
                translate_escape(escaped, class_depth > 0, &mut out);
                // `\p{L}`: the braces are no repetition.
                if let (Some('p' | 'P'), Some(end)) = (escaped, braces(rest.as_str())) {
                    out.push_str(&rest.as_str()[..end]);
                    rest = rest.as_str()[end..].chars();
                }
            }
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
            '(' if flags.explicit_capture && !rest.as_str().starts_with('?') => out.push_str("(?:"),
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

/// Where the braces that `rest` begins with end.
fn braces(rest: &str) -> Option<usize> {
    if rest.starts_with('{') { rest.find('}').map(|at| at + 1) } else { None }
}

/// Whether what follows `{` makes it a repetition and not a brace.
fn is_repetition(rest: &str) -> bool {
    let Some((inner, _)) = rest.split_once('}') else { return false };
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    !least.is_empty() && least.bytes().chain(most.bytes()).all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `yes`, `no`, or why not.
    fn outcome(pattern: &str, text: &str, may_backtrack: bool) -> String {
        match Pattern::compile(pattern, may_backtrack, SIZE_MAX).map(|pattern| pattern.is_match(text)) {
            Ok(Ok(true)) => "yes".to_owned(),
            Ok(Ok(false)) => "no".to_owned(),
            Ok(Err(limit)) => limit.to_string(),
            Err(message) => message,
        }
    }

    #[test]
    fn refuses_what_no_linear_time_can_do() {
        for pattern in [
            "/a(?=b)/",
            "/a(?!b)/",
            "/(?<=a)b/",
            "/(?<!a)b/",
            "/(a)\\1/",
            "/(?<n>a)\\k<n>/",
            "/(?>a+)b/",
            "/(a)?(?(1)b|c)/",
        ] {
            let refused = outcome(pattern, "", false);
            assert!(refused.starts_with("the regular expression cannot be used: "), "{pattern}: {refused}");
        }
    }

    #[test]
    fn knows_categories_of_characters() {
        for (pattern, text, expected) in [
            ("/^\\p{Lu}+$/", "ÄB", "yes"),
            ("/^\\p{Lu}+$/", "Äb", "no"),
            ("/\\P{L}/", "ab1", "yes"),
            ("/^[\\p{L}-]{3}$/", "a-b", "yes"),
            ("/^\\p{L}{2}$/", "ab", "yes"),
            ("/^\\p{Nd}{2}\\{/", "12{", "yes"),
        ] {
            assert_eq!(outcome(pattern, text, false), expected, "{pattern}");
        }
    }

    #[test]
    fn goes_back_when_it_may() {
        for (pattern, text, expected) in [
            ("/a(?=b)/", "ab", "yes"),
            ("/a(?!b)/", "ab", "no"),
            ("/(?<=a)b/i", "AB", "yes"),
            ("/(a)\\1/", "aa", "yes"),
            ("/(?<n>a)\\k<n>/", "ab", "no"),
            ("/^a(?=.$)/m", "x\nab\ny", "yes"),
            ("/^a(?=b$)/", "ab\n", "yes"),
            ("/a(?=.b)/s", "a\nb", "yes"),
            ("/a(?=.b)/", "a\nb", "no"),
        ] {
            assert_eq!(outcome(pattern, text, true), expected, "{pattern}");
        }
        // What needs no going back runs in linear time all the same.
        assert!(matches!(Pattern::compile("/(a|a)*$/", true, SIZE_MAX), Ok(Pattern::Linear(_))));
        assert!(outcome("/(/", "", true).starts_with("the regular expression cannot be used: "));
    }

    /// `x` in the reference connector: groups without a name are no captures,
    /// and blanks count.
    #[test]
    fn captures_what_has_a_name_only_under_x() {
        assert_eq!(outcome("/A b/xi", "a b", false), "yes");
        assert_eq!(outcome("/A b/xi", "ab", false), "no");
        assert_eq!(outcome("/(a|b)[(]\\(/x", "b((", false), "yes");
        assert!(outcome("/(a)\\1/x", "aa", true).starts_with("the regular expression cannot be used: "));
        assert_eq!(outcome("/(?<n>a)(b)\\k<n>/x", "aba", true), "yes");
    }

    /// Both stand still for years where every way of splitting is tried.
    #[test]
    fn hostile_patterns_end() {
        let text = "a".repeat(50_000) + "!";
        assert_eq!(outcome("/^(a+)+$/", &text, false), "no");
        assert_eq!(outcome("/^(a|a)*$/", &text, false), "no");
        assert_eq!(outcome("/^(\\w+\\s?)*$/", &text, false), "no");
        let limit = "a regular expression goes back more than 100000 times over one text";
        assert_eq!(outcome("/(a|aa)+\\1b/", &text[50_000 - 60..], true), limit);
    }
}
