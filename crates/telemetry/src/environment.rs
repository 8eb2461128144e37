//! The environment, as far as logs and telemetry are set up by it. What is for
//! a function itself is read with its other settings.

/// The value of an environment variable, unless it is blank. Names are taken in
/// any letter case, as app settings are; one in the right case wins.
pub(crate) fn variable(name: &str) -> Option<String> {
    let filled = |value: String| Some(value).filter(|value| !value.trim().is_empty());
    if let Some(value) = std::env::var(name).ok().and_then(filled) {
        return Some(value);
    }
    let alike = std::env::vars_os().find(|(other, _)| other.to_str().is_some_and(|o| o.eq_ignore_ascii_case(name)));
    alike.and_then(|(_, value)| value.into_string().ok()).and_then(filled)
}

/// Whether it is set at all, to whatever.
pub(crate) fn is_set(name: &str) -> bool {
    variable(name).is_some()
}
