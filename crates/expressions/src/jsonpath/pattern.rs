//! Turns the regular expressions of paths, which are .NET's, into those of the
//! `regex` crate (device-mapping.md 6.5).
//!
//! Most patterns mean the same in both; what is written differently is
//! rewritten, and every one runs in linear time. Look-around and back
//! references cannot be expressed so and are refused when the mapping loads
//! (quirk 49), unless the caller lets them run by backtracking, up to a limit.
//! Named Unicode blocks are refused in any case.

use regex_automata::meta;
use regex_automata::util::syntax;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// Runs in linear time.
    Linear(meta::Regex),
    /// Has look-around or back references.
    Backtracking {
        /// The pattern.
        regex: fancy_regex::Regex,
        /// How many bytes it takes at the most, nearly: the crate does not say.
        bytes: usize,
    },
}

/// How many bytes a compiled pattern of a mapping may take. The crate's own
/// limit is ten times as much.
pub(super) const SIZE_MAX: usize = 1 << 20;

/// The same for a pattern that stands in a document, which is compiled for
/// each comparison.
pub(super) const DOCUMENT_SIZE_MAX: usize = 1 << 16;

/// What a byte of a pattern's text counts, in bytes of its compiled form: `\w` takes
/// three thousand while it is read, whatever becomes of the pattern.
const TEXT_BYTE: usize = 256;

/// What a class counts where letter case does not: each of its characters is looked up.
const FOLDED_CLASS: usize = 1 << 14;

/// What one counts then that may have a million, such as `[\s\S]`.
const FOLDED_WIDE_CLASS: usize = 1 << 17;

/// How many times the automaton of a part all tables take together that are made of it.
const TABLES: usize = 16;

/// How often one match may go back: some milliseconds. The reference connector
/// has no such limit, and stands still on a pattern that needs more.
const BACKTRACKS_MAX: usize = 100_000;

/// A match went back too often. Quotes neither text nor pattern.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a regular expression goes back more than {BACKTRACKS_MAX} times over one text")]
pub(super) struct TooManyBacktracks;

/// Why a text is no pattern that can be used.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Unusable {
    message: String,
    /// Whether it was compiled until it met the limit.
    is_too_large: bool,
}

impl Unusable {
    /// How many bytes compiling it has taken.
    pub(super) fn bytes(&self, size_max: usize) -> usize {
        if self.is_too_large { size_max } else { 0 }
    }

    /// The last line of a crate's message; those before it draw the pattern.
    fn of(text: &str) -> Unusable {
        let last = text.lines().last().unwrap_or_default();
        let last = last.strip_prefix("error: ").unwrap_or(last);
        Unusable { message: format!("the regular expression cannot be used: {last}"), is_too_large: false }
    }

    fn too_large(size_max: usize) -> Unusable {
        let refused = Unusable::of(&format!("Compiled regex exceeds size limit of {size_max} bytes."));
        Unusable { is_too_large: true, ..refused }
    }
}

/// What compiling `/pattern/flags` takes at the most, whether or not it can be used and
/// beside what the compiled pattern takes, in bytes of that.
pub(super) fn effort(text: &str) -> usize {
    let (pattern, flags) = text.rsplit_once('/').unwrap_or((text, ""));
    let is_letter = |c: &char| c.is_ascii_alphabetic() || *c == '-';
    let mut groups = pattern.split("(?").skip(1);
    let folds = flags.contains('i') || groups.any(|rest| rest.chars().take_while(is_letter).any(|c| c == 'i'));
    let folded = if folds { folding(pattern) } else { 0 };
    pattern.len().saturating_mul(TEXT_BYTE).saturating_add(folded)
}

/// What the classes of a pattern count where letter case does not.
fn folding(pattern: &str) -> usize {
    let count = |marks: &[&str]| marks.iter().map(|mark| pattern.matches(mark).count()).sum::<usize>();
    let far_ends = pattern.split('-').skip(1).filter(|end| end.starts_with(|c: char| !c.is_ascii())).count();
    // A class takes away from another what stands after `-[`.
    let wide = count(&["\\S", "\\W", "\\D", "\\P", "\\x", "\\u", "\\U", "-[^"]) + far_ends;
    let classes = count(&["[", "\\p"]);
    classes.saturating_mul(FOLDED_CLASS).saturating_add(wide.saturating_mul(FOLDED_WIDE_CLASS))
}

impl Pattern {
    /// Compiles `/pattern/flags`. As in the reference connector the pattern is
    /// what stands between the first character and the last slash.
    pub(super) fn compile(text: &str, may_backtrack: bool, size_max: usize) -> Result<Pattern, Unusable> {
        let form = || Unusable { message: "a regular expression is written /pattern/".into(), is_too_large: false };
        let (delimited, flags) = text.rsplit_once('/').ok_or_else(form)?;
        let first = delimited.chars().next().ok_or_else(form)?;
        let flags = Flags::read(flags);
        let pattern = translate(&delimited[first.len_utf8()..], flags);
        let syntax = syntax::Config::new().case_insensitive(flags.ignore_case).multi_line(flags.multi_line);
        let syntax = syntax.dot_matches_new_line(flags.single_line);
        // Nobody asks where a group matched.
        let config = meta::Config::new().nfa_size_limit(Some(size_max)).onepass(false);
        match meta::Regex::builder().syntax(syntax).configure(config).build(&pattern) {
            Ok(regex) => Ok(Pattern::Linear(regex)),
            Err(_) if may_backtrack => backtracking(&pattern, flags),
            Err(error) => Err(match (error.syntax_error(), error.size_limit()) {
                (Some(error), _) => Unusable::of(&error.to_string()),
                (None, Some(_)) => Unusable::too_large(size_max),
                (None, None) => Unusable::of(&error.to_string()),
            }),
        }
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Pattern::Linear(regex) => regex.memory_usage(),
            Pattern::Backtracking { bytes, .. } => *bytes,
        }
    }

    /// Whether a part of `text` matches.
    pub(super) fn is_match(&self, text: &str) -> Result<bool, TooManyBacktracks> {
        match self {
            Pattern::Linear(regex) => Ok(regex.is_match(text)),
            Pattern::Backtracking { regex, .. } => regex.is_match(text).map_err(|_| TooManyBacktracks),
        }
    }
}

/// Each part of the pattern that needs no going back is compiled by itself: within as
/// little as it takes, to a power of two, since that is all that is known of its size.
fn backtracking(pattern: &str, flags: Flags) -> Result<Pattern, Unusable> {
    let parts = 1 + pattern.bytes().filter(|byte| matches!(byte, b'(' | b'\\')).count();
    let mut size_max = SIZE_MAX >> 10;
    loop {
        let mut builder = fancy_regex::RegexBuilder::new(pattern);
        builder.case_insensitive(flags.ignore_case).multi_line(flags.multi_line);
        builder.dot_matches_new_line(flags.single_line);
        builder.delegate_size_limit(size_max).backtrack_limit(BACKTRACKS_MAX);
        let error = match builder.build() {
            Ok(regex) => {
                let bytes = parts.saturating_mul(size_max).saturating_mul(TABLES);
                return Ok(Pattern::Backtracking { regex, bytes });
            }
            Err(error) => error,
        };
        if size_max == SIZE_MAX || !is_of_part(&error) {
            return Err(Unusable { is_too_large: size_max == SIZE_MAX, ..Unusable::of(&error.to_string()) });
        }
        size_max <<= 1;
    }
}

/// Whether a part was not compiled, which may be too large.
fn is_of_part(error: &fancy_regex::Error) -> bool {
    matches!(error, fancy_regex::Error::CompileError(error) if matches!(**error, fancy_regex::CompileError::InnerError(_)))
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
            Err(refused) => refused.to_string(),
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

    /// The crate does not say what it takes; a mapping has room for many all the same.
    #[test]
    fn what_goes_back_takes_room_by_its_parts() {
        let bytes = |pattern: &str| Pattern::compile(pattern, true, SIZE_MAX).unwrap().bytes();
        for (pattern, bytes_max) in [("/a(?=b)/", 1 << 16), ("/^(?!test)[a-z]+$/", 1 << 17), ("/(?<=\\w)b/", 1 << 21)] {
            assert!(bytes(pattern) <= bytes_max, "{pattern}: {}", bytes(pattern));
        }
        assert!(bytes("/(?=\\w{18})a/") > SIZE_MAX);
        let refused = |pattern: &str| Pattern::compile(pattern, true, SIZE_MAX).unwrap_err().bytes(SIZE_MAX);
        assert_eq!((refused("/(?=\\w{60})a/"), refused("/(?=(/")), (SIZE_MAX, 0));
    }

    #[test]
    fn what_compiling_takes_counts_where_it_is_much() {
        let is_much = |text: &str| effort(text) > SIZE_MAX;
        for (text, expected) in [
            ("/\\w+/i".to_owned(), false),
            (format!("/{}/i", "p".repeat(100)), false),
            (format!("/{}/", "[a-z]".repeat(100)), false),
            (format!("/{}/i", "[a-z]".repeat(100)), true),
            (format!("/(?s-i){}/", "[\\s\\S]".repeat(100)), true),
            (format!("/(?:i){}/", "[\\s\\S]".repeat(100)), false),
            (format!("/{}/i", "\\pL".repeat(100)), true),
            ("/[^,]+,[\\w ]+,straße/i".to_owned(), false),
            (format!("/{}/i", "[\\s\\S]".repeat(10)), true),
            (format!("/{}/i", "[ -\u{10ffff}]".repeat(10)), true),
            (format!("/{}/i", "[a-[^b]]".repeat(10)), true),
            (format!("/{}/", "\\w".repeat(10_000)), true),
        ] {
            assert_eq!(is_much(&text), expected, "{}", &text[..20.min(text.len())]);
        }
    }
}
