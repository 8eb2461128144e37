//! From a mapping's text to its templates (device-mapping.md 2).

use expressions::{CompileOptions, Names};

use super::members::{self, Context};
use super::template::{Template, TemplateKind};
use crate::compatibility::Compatibility;
use crate::finding::{Finding, Place};
use crate::text::{Text, TextValue};

const COLLECTION: &str = "CollectionContentTemplate";

/// Reads a collection. None when the file as a whole is not one; otherwise the
/// templates that are free of errors, with everything found in `findings`.
pub(super) fn load(
    text: &[u8],
    compatibility: &Compatibility,
    names: &mut Names,
    findings: &mut Vec<Finding>,
) -> Option<Vec<Template>> {
    let root = match Text::read(text) {
        Ok(Some(root)) => root,
        Ok(None) => {
            findings.push(Finding::error("The mapping is empty.", None));
            return None;
        }
        Err(finding) => {
            findings.push(finding);
            return None;
        }
    };
    let containers = match collection(&root) {
        Ok(containers) => containers,
        Err(finding) => {
            findings.push(finding);
            return None;
        }
    };
    let options = CompileOptions {
        coerced_comparison_errors: compatibility.coerced_comparison_errors,
        integral_float_timestamps: compatibility.integral_float_timestamps,
    };
    let mut context = Context { names, findings, options };
    let containers = containers.iter().enumerate();
    Some(containers.filter_map(|(index, container)| template(index, container, &mut context)).collect())
}

/// The containers of the templates of a collection.
fn collection(root: &Text) -> Result<&[Text], Finding> {
    if !matches!(root.value, TextValue::Object(_)) {
        return Err(not_an_object(root));
    }
    let (kind, place) = template_type(root);
    if !kind.as_deref().is_some_and(|kind| is_named(kind, COLLECTION)) {
        let kind = kind.as_deref().unwrap_or("Not Found");
        let message = format!("Expected TemplateType value {COLLECTION}, actual {kind}.");
        return Err(Finding::error(message, Some(place)));
    }
    match root.member("template").map(|member| &member.value) {
        Some(Text { value: TextValue::Array(containers), .. }) => Ok(containers),
        other => {
            let message = format!("Expected an array for the template property value for template type {COLLECTION}.");
            Err(Finding::error(message, Some(other.map_or(root.place, |template| template.place))))
        }
    }
}

/// Reads the template in a container; none, with findings, when it has errors.
fn template(index: usize, container: &Text, context: &mut Context<'_>) -> Option<Template> {
    if !matches!(container.value, TextValue::Object(_)) {
        context.findings.push(not_an_object(container));
        return None;
    }
    let name = template_type(container).0.unwrap_or_default();
    let inner = container.member("template").map(|member| &member.value);
    let place = inner.map_or(container.place, |template| template.place);
    let Some(kind) = TemplateKind::ALL.into_iter().find(|kind| is_named(&name, kind.registered_name())) else {
        context.error(format!("No match found for template type {name}."), place);
        return None;
    };
    match inner {
        Some(template @ Text { value: TextValue::Object(_), .. }) => members::template(index, kind, template, context),
        _ => {
            let name = kind.registered_name();
            let message = format!("Expected an object for the template property value for template type {name}.");
            context.error(message, place);
            None
        }
    }
}

/// The `templateType` of a container, if it has one, and where it stands.
fn template_type(container: &Text) -> (Option<String>, Place) {
    match container.member("templateType") {
        Some(member) => (members::scalar_text(&member.value), member.value.place),
        None => (None, container.place),
    }
}

/// Whether `written` names the kind: in any letter case, with `Template` at
/// the end or without it. The reference connector refuses the longer name of
/// two kinds, which nobody can depend on (device-mapping.md quirk 27).
fn is_named(written: &str, registered: &str) -> bool {
    let short = registered.strip_suffix("Template").unwrap_or(registered);
    let Some(rest) = written.get(short.len()..) else { return false };
    written[..short.len()].eq_ignore_ascii_case(short) && (rest.is_empty() || rest.eq_ignore_ascii_case("Template"))
}

fn not_an_object(value: &Text) -> Finding {
    let token = members::token_name(&value.value);
    let message = format!("Error reading JObject from JsonReader. Current JsonReader item is not an object: {token}.");
    Finding::error(message, Some(value.place))
}
