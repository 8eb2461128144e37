//! A device mapping: the templates that turn events into measurements.
//!
//! ```text
//! mapping text --load--> DeviceMapping (compiled templates) + findings, each with its place
//! ```
//!
//! The file's form is device-mapping.md 2 and 3, with the repairs named there:
//! everything that can be wrong is found here, when the mapping loads, also
//! what the reference connector found only when an event came by. Running a
//! mapping is in [`crate::normalize`].

mod load;
mod members;
mod template;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use expressions::{Names, ReadOptions};

use crate::compatibility::{Compatibility, Dates};
use crate::finding::{Finding, Findings};

pub use template::{Template, TemplateExpression, TemplateKind, ValueTemplate};

/// A device mapping, ready to run.
#[derive(Debug)]
pub struct DeviceMapping {
    /// Tells the mappings of a process apart; see [`DeviceMapping::id`].
    id: u64,
    templates: Vec<Template>,
    names: Names,
    compatibility: Compatibility,
}

impl DeviceMapping {
    /// Loads a mapping that has to be right as a whole: any error in any
    /// template refuses it, as the running connector does. The error holds
    /// everything that was found, warnings too. Warnings of a mapping that
    /// loads are dropped; [`DeviceMapping::load_partial`] gives them.
    pub fn load(text: &[u8], compatibility: &Compatibility) -> Result<DeviceMapping, Findings> {
        Findings::refuse_errors(Self::load_partial(text, compatibility))
    }

    /// Loads the templates that are right, for tools that show what a mapping
    /// would do while it is being written; no mapping when the file as a whole
    /// is none. All findings come back, warnings too.
    pub fn load_partial(text: &[u8], compatibility: &Compatibility) -> (Option<DeviceMapping>, Vec<Finding>) {
        let mut names = Names::default();
        let mut findings = Findings::default();
        let templates = load::load(text, compatibility, &mut names, &mut findings);
        let mapping = templates.map(|templates| {
            names.fix();
            DeviceMapping { id: next_id(), templates, names, compatibility: *compatibility }
        });
        (mapping, findings.0)
    }

    /// The templates, in the order of the file.
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// A number that no other mapping of this process has; says whether a
    /// scratch was made for this mapping.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The switches that it was loaded with.
    pub fn compatibility(&self) -> &Compatibility {
        &self.compatibility
    }

    /// How events are read for this mapping.
    pub(crate) fn read_options(&self) -> ReadOptions {
        ReadOptions { dates: self.compatibility.dates == Dates::Reference, ..ReadOptions::default() }
    }
}

fn next_id() -> u64 {
    // 0 is left for a scratch that was made for no mapping yet.
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
