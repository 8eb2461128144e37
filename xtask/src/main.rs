//! The project's chores, as `cargo xtask <chore>`.
//!
//! ```text
//! demo [--stay]                 builds the release binaries and runs the samples through them
//! test [TIER]                   runs the tests, with the real parts they need
//! app normalize|group-convert   lays out an app root for `func start`
//! package [images|zips|charts …]   makes what is shipped: images, Function App ZIPs, charts, SBOMs
//! publish --registry R          pushes images and charts to a registry
//! image-files IMAGE --out DIR   lays out what an image holds
//! bench NAME [--json]           measures normalize, handler, convert, start or save, beside its yardstick
//! fuzz [TARGET …] [--seconds N] [--jobs N]   runs the fuzz targets
//! simulate [--seeds A..B] [--plant NAME] [--keep-going]   runs the path in simulated time under faults
//! soak [--minutes N] [--rate N]   runs the pipeline for long and looks at memory and lag
//! deny                          checks licences, banned crates and sources
//! components [NAME …]           installs the real parts that tests need, into the cache folder
//! ```

mod app;
mod bench;
mod cache;
mod components;
mod demo;
mod flags;
mod fuzz;
mod images;
mod package;
mod publish;
mod run;
mod simulate;
mod soak;
mod test;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask demo [--stay] | test [TIER] | app normalize|group-convert [--out DIR] | \
                     package [images|zips|charts ...] | publish --registry HOST[/PATH] | image-files IMAGE --out DIR | \
                     bench normalize|handler|convert|start|save [--json] | fuzz [TARGET ...] [--seconds N] [--jobs N] | \
                     simulate [--seeds A..B] [--plant NAME] [--keep-going] | \
                     soak [--minutes N] [--rate EVENTS_PER_SECOND] | deny | components [NAME ...]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (chore, rest) = match arguments.split_first() {
        Some((chore, rest)) => (chore.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    let done = match chore {
        "demo" => demo::demo(rest),
        "test" => test::test(rest),
        "app" => app::app(rest),
        "package" => package::package(rest),
        "publish" => publish::publish(rest),
        "image-files" => images::image_files(rest),
        "bench" => bench::bench(rest),
        "fuzz" => fuzz::fuzz(rest),
        "simulate" => simulate::simulate(rest),
        "soak" => soak::soak(rest),
        "deny" => components::deny(),
        "components" => components::install_named(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(format!("there is no chore `{chore}`\n\n{USAGE}")),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}
