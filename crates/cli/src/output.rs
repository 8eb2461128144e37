//! Results, on standard output, and notes about them, on standard error.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Prints a result and a line's end. A reader that has gone, such as `head`,
/// wanted no more, which is no failure.
pub fn print(result: &impl Display) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{result}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Tells the user something beside the result. Where nobody reads that any more there
/// is nobody to tell, and nobody to tell of it.
pub fn note(text: impl Display) {
    // At once: of several lines nobody reads some that are new and some that are not.
    let text = format!("{text}\n");
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
