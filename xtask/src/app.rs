//! `cargo xtask app FUNCTION`: an app root for the Functions host.
//!
//! ```text
//! <root>/host.json                 names handlers/<function> as the program
//! <root>/handlers/<function>
//! <root>/<function>/function.json
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::run::{cargo, root, run, target};

/// All of them.
pub const FUNCTIONS: [&str; 2] = ["normalize", "group-convert"];

/// Lays out the app root of one function, and says where.
pub fn app(arguments: &[String]) -> Result<ExitCode, String> {
    let (function, out) = match arguments {
        [function] => (function, target().join("app").join(function)),
        [function, flag, out] if flag == "--out" => (function, PathBuf::from(out)),
        _ => return Err("usage: cargo xtask app normalize|group-convert [--out DIR]".to_owned()),
    };
    if !FUNCTIONS.contains(&function.as_str()) {
        return Err(format!("there is no function `{function}`; there are {}", FUNCTIONS.join(" and ")));
    }
    run(cargo().args(["build", "--release", "-p", function]))?;
    lay_out(function, &target().join("release").join(function), &out)?;
    println!("{}", out.display());
    eprintln!("hint: copy local.settings.example.json there as local.settings.json, fill it in, then");
    eprintln!("      func start --script-root {}", out.display());
    Ok(ExitCode::SUCCESS)
}

/// Copies what the host reads, and the binary.
pub fn lay_out(function: &str, binary: &Path, out: &Path) -> Result<(), String> {
    let said = |path: &Path, error: std::io::Error| format!("`{}`: {error}", path.display());
    let source = root().join("functions").join(function).join("app");
    copy_folder(&source, out)?;
    let host = fs::read_to_string(root().join("host.json")).map_err(|error| said(Path::new("host.json"), error))?;
    let host = host.replace("handlers/normalize", &format!("handlers/{function}"));
    fs::write(out.join("host.json"), host).map_err(|error| said(out, error))?;
    let handlers = out.join("handlers");
    fs::create_dir_all(&handlers).map_err(|error| said(&handlers, error))?;
    // A running host holds the old binary open: a new file takes its place.
    let draft = handlers.join(format!("{function}.new"));
    fs::copy(binary, &draft).map_err(|error| said(binary, error))?;
    fs::rename(&draft, handlers.join(function)).map_err(|error| said(&handlers, error))
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    let said = |path: &Path, error: std::io::Error| format!("`{}`: {error}", path.display());
    fs::create_dir_all(to).map_err(|error| said(to, error))?;
    for entry in fs::read_dir(from).map_err(|error| said(from, error))? {
        let entry = entry.map_err(|error| said(from, error))?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &copy)?;
        } else {
            fs::copy(&path, &copy).map_err(|error| said(&path, error))?;
        }
    }
    Ok(())
}
