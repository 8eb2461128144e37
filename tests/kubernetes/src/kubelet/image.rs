//! What stands in for images: nothing is pulled, a table says which files of
//! this machine an image holds.

use std::path::{Path, PathBuf};

/// The table of images: patterns of image references, and what they hold. The
/// first that matches counts.
#[derive(Clone, Debug, Default)]
pub struct Images(Vec<(String, Image)>);

/// What a container finds in its image. Beside it are this machine's `/usr`
/// (without `/usr/local`) and certificates, as if it were the base image.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub(crate) files: Vec<(PathBuf, PathBuf)>,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) working_dir: Option<String>,
    pub(crate) user: Option<(i64, i64)>,
}

impl Images {
    /// An empty table.
    pub fn new() -> Images {
        Images::default()
    }

    /// Adds an image. `*` in the pattern stands for any text.
    #[must_use]
    pub fn with(mut self, pattern: &str, image: Image) -> Images {
        self.0.push((pattern.to_owned(), image));
        self
    }

    pub(crate) fn find(&self, reference: &str) -> Option<&Image> {
        self.0.iter().find(|(pattern, _)| matches(pattern, reference)).map(|(_, image)| image)
    }
}

impl Image {
    /// An image of one program, which is its entry point and lies in
    /// `/usr/local/bin`.
    ///
    /// # Panics
    /// When the path has no file name.
    pub fn of(program: impl AsRef<Path>) -> Image {
        let program = program.as_ref();
        let name = program.file_name().unwrap_or_else(|| panic!("`{}` is no program", program.display()));
        let place = Path::new("/usr/local/bin").join(name);
        Image::default().file(&place, program).entrypoint([place.to_string_lossy()])
    }

    /// Adds a file or a folder of this machine, read-only, at an absolute path
    /// outside `/usr` but for `/usr/local`.
    #[must_use]
    pub fn file(mut self, place: impl AsRef<Path>, source: impl AsRef<Path>) -> Image {
        self.files.push((place.as_ref().to_owned(), source.as_ref().to_owned()));
        self
    }

    /// What is run when the container names no command.
    #[must_use]
    pub fn entrypoint(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Image {
        self.entrypoint = words.into_iter().map(Into::into).collect();
        self
    }

    /// The arguments when the container names neither command nor arguments.
    #[must_use]
    pub fn arguments(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Image {
        self.arguments = words.into_iter().map(Into::into).collect();
        self
    }

    /// Sets an environment variable, which the container may set otherwise.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Image {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where the program starts; `/` by default.
    #[must_use]
    pub fn working_dir(mut self, place: &str) -> Image {
        self.working_dir = Some(place.to_owned());
        self
    }

    /// Whom the program runs as, unless the pod says it; root by default.
    #[must_use]
    pub fn user(mut self, user: i64, group: i64) -> Image {
        self.user = Some((user, group));
        self
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        let cases = [
            ("a:1", "a:1", true),
            ("a:1", "a:2", false),
            ("*", "registry/a:1", true),
            ("*/native:*", "registry/x/native:1.0", true),
            ("*/native:*", "native:1.0", false),
            ("*native@*", "r/native@sha256:0", true),
            ("a*b", "ab", true),
            ("a*b", "abc", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
