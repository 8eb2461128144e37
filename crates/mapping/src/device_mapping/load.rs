//! From a mapping's text to its templates (device-mapping.md 2).

use std::collections::HashMap;

use expressions::{CompileOptions, Names};

use super::members::{self, Context};
use super::template::{Template, TemplateKind};
use crate::compatibility::{Compatibility, Dates};
use crate::finding::Findings;
use crate::template_file::{self, Container, TemplateFile};
use crate::text::Text;

const FILE: TemplateFile = TemplateFile::Device;

/// Reads a collection. None when the file as a whole is not one; otherwise the
/// templates that are free of errors, with everything found in `findings`.
pub(super) fn load(
    text: &[u8],
    compatibility: &Compatibility,
    names: &mut Names,
    findings: &mut Findings,
) -> Option<Vec<Template>> {
    let root = findings.keep(template_file::root(text))?;
    let containers = findings.keep(FILE.containers(&root))?;
    let options = CompileOptions {
        coerced_comparison_errors: compatibility.coerced_comparison_errors,
        integral_float_timestamps: compatibility.integral_float_timestamps,
        backtracking_patterns: compatibility.backtracking_patterns,
        matched_token_twice: compatibility.matched_token_twice,
        dates: compatibility.dates == Dates::Reference,
    };
    let mut context = Context { names, findings, options };
    let containers = containers.iter().enumerate();
    let templates: Vec<Template> =
        containers.filter_map(|(index, container)| template(index, container, &mut context)).collect();
    warn_of_letter_case(&templates, findings);
    Some(templates)
}

/// Two types that differ in letter case only find one FHIR template and become
/// two Observations (fhir-conversion.md quirk 8).
fn warn_of_letter_case(templates: &[Template], findings: &mut Findings) {
    let mut names: HashMap<String, &str> = HashMap::new();
    for template in templates {
        let first = *names.entry(template.type_name.to_lowercase()).or_insert(&template.type_name);
        if first != template.type_name {
            let message = "The typeName differs from another in letter case only: one FHIR template, two Observations.";
            findings.warning(message, template.type_name_place);
        }
    }
}

/// Reads the template in a container; none, with findings, when it has errors.
fn template(index: usize, container: &Text, context: &mut Context<'_>) -> Option<Template> {
    let container = context.findings.keep(Container::read(FILE, container))?;
    let place = container.template_place;
    let Some(kind) = TemplateKind::ALL.into_iter().find(|kind| container.is_named(kind.registered_name())) else {
        let name = container.kind.unwrap_or_default();
        context.findings.error(format!("No match found for template type {name}."), place);
        return None;
    };
    let Some(text) = container.template_object() else {
        context.findings.error(template_file::expected_template_object(kind.registered_name()), place);
        return None;
    };
    members::template(index, kind, text, context)
}
