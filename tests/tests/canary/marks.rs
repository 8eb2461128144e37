//! What is looked for: words and numbers that stand in events and nowhere else,
//! in all the forms in which they could be written.

use std::collections::HashSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// What a mark stands for, and the text that is looked for. Each is the middle
/// of what events hold, which has blanks, quotes, other alphabets and so on
/// around it: those are written differently in different places.
pub const MARKS: [(&str, &str); 11] = [
    ("device id", "qzdevice7k"),
    ("patient id", "qzpatient7k"),
    ("encounter id", "qzencounter7k"),
    ("correlation id", "qzcorrel7k"),
    ("free text", "qzfreetext7k"),
    ("property", "qzproperty7k"),
    ("member name", "qzmember7k"),
    ("poison body", "qzpoison7k"),
    ("measured value", "703124711"),
    ("measured fraction", "81.2347710"),
    ("name", "Żółw Łęćki"),
];

/// A device id as nobody writes it by hand.
pub const DEVICE: &str = "qzdevice7k \"x\" \\ ü,|$&=%/?";
/// A patient's id.
pub const PATIENT: &str = "qzpatient7k|ß ,2";
/// An encounter's id.
pub const ENCOUNTER: &str = "qzencounter7k <b>";
/// A correlation id.
pub const CORRELATION: &str = "qzcorrel7k #1";
/// What a nurse typed: lines, quotes, another alphabet.
pub const TEXT: &str = "qzfreetext7k: \"fell\"\n\tagain \u{1f600} {0} %s Żółw Łęćki";
/// The name of a member, as of a device that keys readings by person.
pub const MEMBER: &str = "qzmember7k Żółw Łęćki";
/// A property's value.
pub const PROPERTY: &str = "qzproperty7k ; DROP";
/// A measured number.
pub const NUMBER: &str = "703124711";
/// One with a fraction, whose last digits are easily lost.
pub const FRACTION: &str = "81.2347710";

/// A form of a mark.
struct Needle {
    of: &'static str,
    form: &'static str,
    text: String,
}

/// All forms of all marks.
pub struct Needles(Vec<Needle>);

impl Needles {
    pub fn new() -> Needles {
        let needles = MARKS.iter().flat_map(|(of, mark)| {
            let forms = forms(mark).into_iter();
            forms.map(move |(form, text)| Needle { of, form, text })
        });
        Needles(needles.collect())
    }

    /// What a text holds of them: what it is, its form, and what stands around
    /// it.
    pub fn find(&self, text: &str) -> Vec<String> {
        let lower = text.to_lowercase();
        let found = self.0.iter().filter_map(|needle| {
            // Hubs and servers may write in lower case; base64 does not mean the same then.
            let (text, at) = match text.find(&needle.text) {
                Some(at) => (text, at),
                None if needle.form == "base64" => return None,
                None => (lower.as_str(), lower.find(&needle.text.to_lowercase())?),
            };
            let before: String = text[..at].chars().rev().take(160).collect::<Vec<_>>().into_iter().rev().collect();
            let from_here: String = text[at..].chars().take(120).collect();
            Some(format!("{} ({}): …{before}{from_here}…", needle.of, needle.form))
        });
        found.collect()
    }
}

/// A mark as it stands in text, in JSON, in Rust's and URLs' ways to write it, in
/// base64, in hexadecimal digits, and as a list of bytes.
fn forms(mark: &str) -> Vec<(&'static str, String)> {
    let bytes = mark.as_bytes();
    let each = |write: &dyn Fn(&u8) -> String, between: &str| bytes.iter().map(write).collect::<Vec<_>>().join(between);
    let chars =
        |write: &dyn Fn(char) -> String| mark.chars().map(|c| if c.is_ascii() { c.into() } else { write(c) }).collect();
    let mut forms = vec![
        ("text", mark.to_owned()),
        ("JSON escapes", chars(&|c| format!("\\u{:04x}", u32::from(c)))),
        ("Rust escapes", chars(&|c| c.escape_unicode().to_string())),
        ("URL", percent_encoded(mark, "%20")),
        ("form", percent_encoded(mark, "+")),
        ("hexadecimal", each(&|byte| format!("{byte:02x}"), "")),
        ("hexadecimal with blanks", each(&|byte| format!("{byte:02x}"), " ")),
        ("list of bytes", each(&|byte| byte.to_string(), ", ")),
        ("short list of bytes", each(&|byte| byte.to_string(), ",")),
        ("escaped bytes", each(&|byte| byte.escape_ascii().to_string(), "")),
    ];
    // It may begin at any of three places of a group of three bytes; the
    // characters at its ends hold bits of its neighbours.
    for before in 0..3 {
        let encoded = BASE64_STANDARD.encode([&vec![0; before], bytes].concat());
        let from = (before * 8).div_ceil(6);
        let to = (before + bytes.len()) * 8 / 6;
        forms.push(("base64", encoded[from..to].to_owned()));
    }
    // What has nothing to escape is written alike in several of them.
    let mut seen = HashSet::new();
    forms.retain(|(_, text)| seen.insert(text.clone()));
    forms
}

fn percent_encoded(text: &str, blank: &str) -> String {
    let encode = |byte: &u8| match byte {
        b' ' => blank.to_owned(),
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.as_bytes().iter().map(encode).collect()
}

/// A search that finds nothing anywhere would be content with everything.
#[test]
fn marks_are_found_however_they_are_written() {
    let needles = Needles::new();
    let body = serde_json::json!({ "device": DEVICE, "text": TEXT, "value": NUMBER }).to_string();
    for before in ["", "a", "ab", "abc"] {
        let encoded = BASE64_STANDARD.encode(format!("{before}{body}"));
        let found = needles.find(&encoded).join("\n");
        assert!(found.contains("device id (base64)") && found.contains("measured value (base64)"), "{before}: {found}");
    }
    let cases = [
        format!("{body:?}"),
        format!("{:?}", body.as_bytes()),
        body.as_bytes().escape_ascii().to_string(),
        body.to_uppercase(),
        percent_encoded(&body, "+"),
        body.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect(),
        body.clone(),
    ];
    for text in cases {
        let found = needles.find(&text).join("\n");
        for of in ["device id", "free text", "measured value", "name"] {
            assert!(found.contains(of), "{of} in {text}: {found}");
        }
    }
    assert_eq!(needles.find("a line of a log: 12 events, sha256:9f86d081884c7d65"), [""; 0]);
}
