//! The images: what is in each, laid out as the file tree that its Dockerfile
//! in `deploy/images` copies to `/`.
//!
//! `cargo xtask image-files IMAGE --out DIR` is run by the stage of a Dockerfile
//! that compiles, and by `cargo xtask package` in front of its target `prebuilt`:
//! both ways give the same files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::app;
use crate::components;
use crate::flags::Flags;
use crate::run::{cargo, root, run, target};

/// What programs are built with that are shipped.
pub const PROFILE: &str = "dist";

const USAGE: &str = "usage: cargo xtask image-files IMAGE --out DIR [--profile PROFILE]";

/// An image of ours.
pub struct Image {
    /// The folder of its Dockerfile, and the last part of its repository.
    pub name: &'static str,
    /// Its programs, each a package of that name.
    pub programs: &'static [&'static str],
    /// Which of the given bases it takes, and as which build argument.
    pub bases: &'static [(&'static str, &'static str)],
    contents: Contents,
}

/// How its files lie.
enum Contents {
    /// Programs in /usr/local/bin.
    Programs,
    /// An app root for each program, below /home/site.
    AppRoots,
    /// Programs, and the charts in /charts.
    ProgramsAndCharts,
}

const NATIVE_BASE: (&str, &str) = ("native", "BASE_IMAGE");

/// All of them.
pub const ALL: [Image; 6] = [
    Image {
        name: "native",
        programs: &["normalize", "group-convert"],
        bases: &[NATIVE_BASE],
        contents: Contents::Programs,
    },
    Image {
        name: "functions",
        programs: &["normalize", "group-convert"],
        bases: &[("functions", "BASE_IMAGE")],
        contents: Contents::AppRoots,
    },
    Image {
        name: "operator",
        programs: &["operator"],
        bases: &[NATIVE_BASE, ("helm", "HELM_IMAGE")],
        contents: Contents::ProgramsAndCharts,
    },
    Image {
        name: "resource-provider",
        programs: &["resource-provider"],
        bases: &[NATIVE_BASE],
        contents: Contents::Programs,
    },
    Image {
        name: "cli",
        programs: &["iotc", "normalize", "group-convert"],
        bases: &[NATIVE_BASE],
        contents: Contents::Programs,
    },
    Image { name: FHIR, programs: &["iotc"], bases: &[NATIVE_BASE], contents: Contents::Programs },
];

/// The image that somebody may give a Dockerfile of their own for.
pub const FHIR: &str = "fhir";

/// The image called `name`.
pub fn named(name: &str) -> Result<&'static Image, String> {
    let names: Vec<_> = ALL.iter().map(|image| image.name).collect();
    let image = ALL.iter().find(|image| image.name == name);
    image.ok_or_else(|| format!("there is no image `{name}`; there are {}", names.join(", ")))
}

/// Builds the programs of an image and lays out its files.
pub fn image_files(arguments: &[String]) -> Result<ExitCode, String> {
    let flags = Flags::read(arguments, &["--out", "--profile"], &[], USAGE)?;
    let ([name], Some(out)) = (flags.words.as_slice(), flags.value("--out")) else {
        return Err(USAGE.to_owned());
    };
    let image = named(name)?;
    let built = build(image.programs, flags.value("--profile").unwrap_or(PROFILE))?;
    image.lay_out(&built, Path::new(out))?;
    Ok(ExitCode::SUCCESS)
}

/// Programs that are built together, whichever of them is asked for: cargo
/// settles the features of a crate for all packages of one call, so a program
/// would differ by what it was built beside.
const TOGETHER: [&[&str]; 4] = [&["normalize", "group-convert"], &["iotc"], &["operator"], &["resource-provider"]];

/// Builds programs, with the list of what is in them within them, and gives
/// their folder.
pub fn build(programs: &[&str], profile: &str) -> Result<PathBuf, String> {
    let auditable = components::named("auditable")?.folder()?.join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(auditable).chain(std::env::split_paths(&path)));
    let path = path.map_err(|error| format!("PATH: {error}"))?;
    for together in TOGETHER.iter().filter(|together| programs.iter().any(|program| together.contains(program))) {
        let mut command = cargo();
        command.env("PATH", &path).args(["auditable", "build", "--locked", "--profile", profile]);
        run(command.args(together.iter().flat_map(|program| ["-p", program])))?;
    }
    // Cargo's own name for the folder of the profile `dev`.
    Ok(target().join(if profile == "dev" { "debug" } else { profile }))
}

impl Image {
    /// Its Dockerfile.
    pub fn dockerfile(&self) -> PathBuf {
        root().join("deploy/images").join(self.name).join("Dockerfile")
    }

    /// Lays out its files below `out`, which is made anew, with programs of the
    /// folder `built`.
    pub fn lay_out(&self, built: &Path, out: &Path) -> Result<(), String> {
        make_anew(out)?;
        match self.contents {
            Contents::Programs => self.copy_programs(built, out)?,
            Contents::AppRoots => {
                for function in self.programs {
                    app::lay_out(function, &built.join(function), &out.join("home/site").join(function))?;
                }
            }
            Contents::ProgramsAndCharts => {
                self.copy_programs(built, out)?;
                for chart in ["iot-connector", "fhir-service"] {
                    app::copy_folder(&root().join("helm").join(chart), &out.join("charts").join(chart))?;
                }
            }
        }
        set_modes(out)
    }

    fn copy_programs(&self, built: &Path, out: &Path) -> Result<(), String> {
        let folder = out.join("usr/local/bin");
        fs::create_dir_all(&folder).map_err(|error| format!("`{}`: {error}", folder.display()))?;
        self.programs.iter().try_for_each(|program| {
            let copied = fs::copy(built.join(program), folder.join(program));
            copied.map(drop).map_err(|error| format!("`{}`: {error}", built.join(program).display()))
        })
    }
}

/// An empty folder, whatever was there.
pub fn make_anew(folder: &Path) -> Result<(), String> {
    let said = |error: std::io::Error| format!("`{}`: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(said)?;
    }
    fs::create_dir_all(folder).map_err(said)
}

/// Gives folders and programs the mode 755 and all else 644, whatever the umask
/// of whoever builds: what is shipped is run by other users.
pub fn set_modes(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let said = |error: std::io::Error| format!("`{}`: {error}", path.display());
    let found = fs::metadata(path).map_err(said)?;
    let is_program = found.permissions().mode() & 0o100 != 0;
    let mode = if is_program { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(said)?;
    if found.is_dir() {
        for entry in fs::read_dir(path).map_err(said)? {
            set_modes(&entry.map_err(said)?.path())?;
        }
    }
    Ok(())
}
