//! `$(NAME)` in environment values, commands, arguments and sub-paths, as
//! Kubernetes expands it: a name that is not defined stays as it is written, and
//! `$$` is a `$`.

/// Expands `text` with what `value` knows.
pub(crate) fn expand<'v>(text: &str, value: impl Fn(&str) -> Option<&'v str>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|name| name.split_once(')')) {
            match value(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn expands_as_kubernetes_does() {
        let cases = [
            ("plain", "plain"),
            ("$(A)", "one"),
            ("$(A)-$(B)", "one-two"),
            ("x$(A)y", "xoney"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$one"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$(A", "$(A"),
            ("$A $", "$A $"),
            ("$()", "$()"),
            ("$($(A))", "$($(A))"),
        ];
        let value = |name: &str| match name {
            "A" => Some("one"),
            "B" => Some("two"),
            _ => None,
        };
        for (text, expected) in cases {
            assert_eq!(expand(text, value), expected, "{text}");
        }
    }
}
