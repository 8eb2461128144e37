//! The arguments of a chore: words, `--name value` and `--switch`.

/// Arguments, checked against the names that a chore knows.
pub struct Flags {
    /// What stands without a name.
    pub words: Vec<String>,
    values: Vec<(String, String)>,
    switches: Vec<String>,
}

impl Flags {
    /// Reads `arguments`; any other name is an error that says `usage`.
    pub fn read(arguments: &[String], values: &[&str], switches: &[&str], usage: &str) -> Result<Flags, String> {
        let mut flags = Flags { words: Vec::new(), values: Vec::new(), switches: Vec::new() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if switches.contains(&argument.as_str()) {
                flags.switches.push(argument.clone());
            } else if values.contains(&argument.as_str()) {
                let value = rest.next().ok_or(format!("`{argument}` needs a value\n\n{usage}"))?;
                flags.values.push((argument.clone(), value.clone()));
            } else if argument.starts_with('-') {
                return Err(format!("there is no `{argument}` here\n\n{usage}"));
            } else {
                flags.words.push(argument.clone());
            }
        }
        Ok(flags)
    }

    /// All values of a name, in their order.
    pub fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.values.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The last value of a name.
    pub fn value<'f>(&'f self, name: &'f str) -> Option<&'f str> {
        self.all(name).last()
    }

    /// Whether a switch is there.
    pub fn has(&self, name: &str) -> bool {
        self.switches.iter().any(|switch| switch == name)
    }
}

#[cfg(test)]
mod tests {
    use super::Flags;

    fn read(arguments: &[&str]) -> Result<Flags, String> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        Flags::read(&arguments, &["--out", "--base"], &["--plain-http"], "usage: …")
    }

    #[test]
    fn tells_words_values_and_switches_apart() {
        let Ok(flags) = read(&["images", "--base", "a=b", "--plain-http", "--out", "x", "--base", "c=d"]) else {
            panic!("known names are refused");
        };
        assert_eq!(flags.words, ["images"]);
        assert_eq!(flags.value("--out"), Some("x"));
        assert_eq!(flags.all("--base").collect::<Vec<_>>(), ["a=b", "c=d"]);
        assert!(flags.has("--plain-http"));
    }

    #[test]
    fn names_what_it_does_not_know() {
        assert!(read(&["--outt", "x"]).is_err_and(|error| error.starts_with("there is no `--outt` here")));
        assert!(read(&["--out"]).is_err_and(|error| error.starts_with("`--out` needs a value")));
    }
}
