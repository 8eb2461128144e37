//! Functions on objects, and on values of any type.

use std::borrow::Cow;

use crate::expression::EvaluateError;
use crate::jmespath::data::{View, is_null, view};
use crate::jmespath::interpreter::{Outcome, Run};
use crate::value::Value;

use super::Call;

type Result<T> = std::result::Result<T, EvaluateError>;

/// The members of an object.
type Members<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

pub(super) fn type_name<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    Ok(Outcome::Value(Value::String(Cow::Borrowed(call.type_name(0)?))))
}

pub(super) fn not_null<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    for at in 0..call.arguments.len() {
        call.argument(at)?;
    }
    for at in 0..call.arguments.len() {
        if !is_null(call.run.document, call.argument(at)?) {
            return Ok(Outcome::Value(call.take(at)?));
        }
    }
    Ok(Outcome::Missing)
}

pub(super) fn keys<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    let members = object(&mut call)?;
    Ok(Outcome::Value(Value::Array(members.into_iter().map(|(name, _)| Value::String(name)).collect())))
}

pub(super) fn values<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    let members = object(&mut call)?;
    Ok(Outcome::Value(Value::Array(members.into_iter().map(|(_, value)| value).collect())))
}

/// Members of the only argument, which must be an object.
fn object<'a>(call: &mut Call<'_, 'a>) -> Result<Members<'a>> {
    if !matches!(call.view(0)?, View::Object) {
        return Err(call.error("expects an object"));
    }
    let value = call.take(0)?;
    members(call.run, value)
}

fn members<'a>(run: &mut Run<'a>, value: Value<'a>) -> Result<Members<'a>> {
    match value {
        Value::Object(members) => Ok(members),
        Value::Node(node) => {
            let document = run.document;
            run.spend(document.children(node).count())?;
            let names = document.children(node).map(|(name, _)| document.name(name).len());
            run.spend_text(names.sum())?;
            let children = document.children(node);
            Ok(children.map(|(name, child)| (Cow::Borrowed(document.name(name)), Value::Node(child))).collect())
        }
        _ => Ok(Members::new()),
    }
}

/// Deep: members that are objects on both sides are merged, lists are put one
/// after the other, and a null changes nothing that is there.
pub(super) fn merge<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    let mut merged = Members::new();
    for at in 0..call.arguments.len() {
        if !matches!(call.view(at)?, View::Object) {
            return Err(call.error("expects an object"));
        }
        let value = call.take(at)?;
        let added = members(call.run, value)?;
        merge_members(call.run, &mut merged, added)?;
    }
    Ok(Outcome::Value(Value::Object(merged)))
}

fn merge_members<'a>(run: &mut Run<'a>, merged: &mut Members<'a>, added: Members<'a>) -> Result<()> {
    for (name, value) in added {
        // Finding a member may take a look at each.
        run.spend(1 + merged.len() / 8)?;
        match merged.iter_mut().find(|member| member.0 == name) {
            None => merged.push((name, value)),
            Some(member) => {
                let there = std::mem::replace(&mut member.1, Value::Null);
                member.1 = merge_values(run, there, value)?;
            }
        }
    }
    Ok(())
}

fn merge_values<'a>(run: &mut Run<'a>, there: Value<'a>, added: Value<'a>) -> Result<Value<'a>> {
    match (view(run.document, &there), view(run.document, &added)) {
        (_, View::Null) => Ok(there),
        (View::Array, View::Array) => {
            let mut items = run.elements(Cow::Owned(there))?.unwrap_or_default();
            items.extend(run.elements(Cow::Owned(added))?.unwrap_or_default());
            Ok(Value::Array(items))
        }
        (View::Object, View::Object) => {
            let mut merged = members(run, there)?;
            let added = members(run, added)?;
            merge_members(run, &mut merged, added)?;
            Ok(Value::Object(merged))
        }
        _ => Ok(added),
    }
}
