//! `cargo xtask package`: everything that is shipped, in one folder.
//!
//! ```text
//! images/<image>-<version>.oci.tar    an OCI archive, and beside it
//! images/<image>-<version>.cdx.json   what is in it (SBOM, CycloneDX)
//! zips/<function>-<version>.zip       a Function App, with its SBOM
//! charts/<chart>-<version>.tgz
//! SHA256SUMS
//! ```

mod buildah;
mod charts;
mod sbom;
mod zips;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::app;
use crate::components;
use crate::flags::Flags;
use crate::images::{self, FHIR, Image};
use crate::run::{output, root, run_quietly, target};

use buildah::Buildah;
pub use charts::helm;

/// What `package` and `publish` take.
pub const VALUES: [&str; 8] =
    ["--out", "--version", "--profile", "--base", "--image", "--fhir-dockerfile", "--fhir-version", "--source"];

const USAGE: &str = "usage: cargo xtask package [images|zips|charts ...] [--out DIR] [--version V] [--profile PROFILE] \
                     [--image NAME ...] [--base native|functions|helm=IMAGE ...] [--source URL] \
                     [--fhir-dockerfile FILE] [--fhir-version R4] [--from-source]";

/// What to make, and of what.
pub struct Package {
    /// Where it goes.
    pub out: PathBuf,
    /// The version of all of it.
    pub version: String,
    kinds: Vec<String>,
    profile: String,
    /// Which images.
    pub images: Vec<&'static Image>,
    /// Bases in the place of those that the Dockerfiles name.
    bases: Vec<(String, String)>,
    /// Where the sources are, for who looks at an image.
    source: Option<String>,
    fhir: FhirImage,
    /// Whether the Dockerfiles compile, and not we.
    from_source: bool,
}

/// The FHIR server that is packed.
struct FhirImage {
    /// Another Dockerfile than ours; its folder is the context.
    dockerfile: Option<PathBuf>,
    /// R4, or what else that Dockerfile knows.
    version: String,
}

/// Makes what is asked for, or all.
pub fn package(arguments: &[String]) -> Result<ExitCode, String> {
    let flags = Flags::read(arguments, &VALUES, &["--from-source"], USAGE)?;
    let package = Package::plan(&flags)?;
    package.make()?;
    println!("{}", package.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Makes all of it for the tests, on bases that were made here, and says where.
pub fn for_tests() -> Result<PathBuf, String> {
    let out = target().join("package-for-tests");
    images::make_anew(&out)?;
    let bases = components::named("bases")?.folder()?;
    let mut arguments = vec!["--out".to_owned(), out.display().to_string()];
    for base in ["native", "functions", "helm"] {
        let folder = bases.join(base);
        arguments.extend(["--base".to_owned(), format!("{base}=oci:{}", folder.display())]);
    }
    package(&arguments)?;
    Ok(out)
}

impl Package {
    /// Reads the arguments.
    pub fn plan(flags: &Flags) -> Result<Package, String> {
        const KINDS: [&str; 3] = ["images", "zips", "charts"];
        if let Some(unknown) = flags.words.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
            return Err(format!("there is nothing called `{unknown}` to package\n\n{USAGE}"));
        }
        let all = || KINDS.iter().map(ToString::to_string).collect();
        let kinds = if flags.words.is_empty() { all() } else { flags.words.clone() };
        let mut chosen = flags.all("--image").map(images::named).collect::<Result<Vec<_>, _>>()?;
        if chosen.is_empty() {
            chosen = images::ALL.iter().collect();
        }
        let base = |base: &str| {
            let (name, image) = base.split_once('=').ok_or(format!("`--base {base}` is not NAME=IMAGE"))?;
            let is_known = images::ALL.iter().any(|image| image.bases.iter().any(|(known, _)| *known == name));
            if is_known {
                Ok((name.to_owned(), image.to_owned()))
            } else {
                Err(format!("no image has a base `{name}`"))
            }
        };
        let fhir = FhirImage {
            dockerfile: flags.value("--fhir-dockerfile").map(PathBuf::from),
            version: flags.value("--fhir-version").unwrap_or("R4").to_owned(),
        };
        if fhir.dockerfile.is_none() && fhir.version != "R4" {
            return Err("our own FHIR server knows R4 only; give the Dockerfile of another one".to_owned());
        }
        Ok(Package {
            out: flags.value("--out").map_or_else(|| target().join("package"), PathBuf::from),
            version: flags.value("--version").unwrap_or(env!("CARGO_PKG_VERSION")).to_owned(),
            profile: flags.value("--profile").unwrap_or(images::PROFILE).to_owned(),
            bases: flags.all("--base").map(base).collect::<Result<_, _>>()?,
            source: flags.value("--source").map(str::to_owned),
            from_source: flags.has("--from-source"),
            kinds,
            images: chosen,
            fhir,
        })
    }

    /// Makes it.
    pub fn make(&self) -> Result<(), String> {
        let makes = |kind: &str| self.kinds.iter().any(|chosen| chosen == kind);
        let work = self.out.join("work");
        images::make_anew(&work)?;
        let built = self.build(makes("images"), makes("zips"))?;
        if makes("images") {
            let buildah = Buildah::new(&work)?;
            self.images.iter().try_for_each(|image| self.image(image, &built, &buildah))?;
        }
        if makes("zips") {
            let folder = made(&self.out.join("zips"))?;
            for function in app::FUNCTIONS {
                let app_root = work.join(function);
                app::lay_out(function, &built.join(function), &app_root)?;
                images::set_modes(&app_root)?;
                let name = format!("{function}-{}", self.version);
                zips::zip(&app_root, &folder.join(format!("{name}.zip")), timestamp())?;
                sbom::of_folder(&app_root, &folder.join(format!("{name}.cdx.json")))?;
            }
        }
        if makes("charts") {
            charts::package(&made(&self.out.join("charts"))?, &self.version)?;
        }
        fs::remove_dir_all(&work).map_err(|error| format!("`{}`: {error}", work.display()))?;
        checksums(&self.out)
    }

    /// Whether somebody else's Dockerfile makes the image.
    fn is_foreign(&self, image: &Image) -> bool {
        image.name == FHIR && self.fhir.dockerfile.is_some()
    }

    /// Builds every program that is needed, at once, and gives their folder.
    fn build(&self, for_images: bool, for_zips: bool) -> Result<PathBuf, String> {
        let ours = self.images.iter().filter(|image| for_images && !self.from_source && !self.is_foreign(image));
        let mut programs: Vec<&str> = ours.flat_map(|image| image.programs.iter().copied()).collect();
        programs.extend(app::FUNCTIONS.into_iter().filter(|_| for_zips));
        programs.sort_unstable();
        programs.dedup();
        if programs.is_empty() { Ok(PathBuf::new()) } else { images::build(&programs, &self.profile) }
    }

    fn image(&self, image: &Image, built: &Path, buildah: &Buildah) -> Result<(), String> {
        let folder = made(&self.out.join("images"))?;
        let archive = self.archive(image.name);
        let mut arguments = vec![
            ("VERSION".to_owned(), self.version.clone()),
            ("REVISION".to_owned(), revision()),
            ("FHIR_VERSION".to_owned(), self.fhir.version.clone()),
        ];
        arguments.retain(|(name, _)| name != "FHIR_VERSION" || image.name == FHIR);
        for (base, argument) in image.bases {
            for (_, image) in self.bases.iter().filter(|(name, _)| name == base) {
                arguments.push(((*argument).to_owned(), buildah.base(base, image)?));
            }
        }
        let files = buildah.work.join("files");
        let (dockerfile, context, target) = match &self.fhir.dockerfile {
            Some(dockerfile) if image.name == FHIR => {
                let folder = dockerfile.parent().filter(|folder| !folder.as_os_str().is_empty());
                (dockerfile.clone(), folder.unwrap_or(Path::new(".")).to_owned(), None)
            }
            _ if self.from_source => (image.dockerfile(), root(), None),
            _ => {
                image.lay_out(built, &files)?;
                (image.dockerfile(), files.clone(), Some("prebuilt"))
            }
        };
        let labels = self.source.iter().map(|url| format!("org.opencontainers.image.source={url}")).collect();
        let plan = buildah::Plan { dockerfile, context, target, arguments, labels, timestamp: timestamp() };
        buildah.build(&plan, &archive, &format!("{}:{}", image.name, self.version))?;
        sbom::of_image(&archive, &folder.join(format!("{}-{}.cdx.json", image.name, self.version)))
    }

    /// The archive of an image.
    pub fn archive(&self, image: &str) -> PathBuf {
        self.out.join("images").join(format!("{image}-{}.oci.tar", self.version))
    }

    /// The repository of an image, below the registry: a FHIR server is another
    /// one for each version of FHIR.
    pub fn repository(&self, image: &str) -> String {
        let version = if image == FHIR { format!("-{}", self.fhir.version.to_lowercase()) } else { String::new() };
        format!("iot-connector-for-fhir/{image}{version}")
    }
}

fn made(folder: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(folder).map_err(|error| format!("`{}`: {error}", folder.display()))?;
    Ok(folder.to_owned())
}

/// The commit that is checked out.
fn revision() -> String {
    output(Command::new("git").current_dir(root()).args(["rev-parse", "HEAD"])).unwrap_or_else(|_| "unknown".to_owned())
}

/// When everything in an archive says that it was made: at the commit's time, or
/// as SOURCE_DATE_EPOCH says, so that the same sources give the same layers.
fn timestamp() -> u64 {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let of_commit = || output(Command::new("git").current_dir(root()).args(["log", "-1", "--format=%ct"])).ok();
    given.or_else(of_commit).and_then(|seconds| seconds.trim().parse().ok()).unwrap_or_default()
}

/// Writes `SHA256SUMS` over all that is there.
fn checksums(out: &Path) -> Result<(), String> {
    let said = |error: std::io::Error| format!("`{}`: {error}", out.display());
    let mut files = Vec::new();
    for folder in ["images", "zips", "charts"].iter().filter(|folder| out.join(folder).is_dir()) {
        for entry in fs::read_dir(out.join(folder)).map_err(said)? {
            files.push(Path::new(folder).join(entry.map_err(said)?.file_name()));
        }
    }
    files.sort();
    let sums = output(Command::new("sha256sum").current_dir(out).args(&files))?;
    fs::write(out.join("SHA256SUMS"), sums + "\n").map_err(said)?;
    run_quietly(Command::new("sha256sum").current_dir(out).args(["--check", "--quiet", "SHA256SUMS"]))
}
