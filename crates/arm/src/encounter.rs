//! What a request meets in the state that a resource is in
//! (resource-provider.md 5.4): the one table that decides between answering,
//! joining, refusing and doing.

use crate::error::{ArmError, ErrorCode};
use crate::state::ResourceState;

/// What is asked of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// PUT; `same` when it asks for what was asked for before.
    Put {
        /// Whether the desired state is that which is stored.
        same: bool,
    },
    /// PATCH; `same` when the result asks for what was asked for before.
    Patch {
        /// Whether the desired state is that which is stored.
        same: bool,
    },
    /// DELETE.
    Delete,
    /// PUT, PATCH or DELETE of a child.
    OfChild,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encounter {
    /// Make it: 201.
    Create,
    /// Change it, by an operation.
    Change,
    /// Nothing; it is as it was asked for.
    Nothing,
    /// Nothing; the operation that runs does it: the answer is that one's.
    Join,
    /// Remove it, by an operation; what runs is stopped.
    Delete,
    /// Nothing; there is none: 204.
    NoContent,
    /// For a child: go on.
    Proceed,
}

/// Decides.
///
/// # Errors
///
/// `ResourceNotFound`, `ParentResourceNotFound`, `AnotherOperationInProgress`,
/// `AncestorNotProvisioned`.
pub fn meet(state: Option<ResourceState>, request: Request) -> Result<Encounter, ArmError> {
    use ResourceState::{Accepted, Canceled, Deprovisioning, Failed, Provisioned, Provisioning, Updating};
    let Some(state) = state else {
        return match request {
            Request::Put { .. } => Ok(Encounter::Create),
            Request::Delete => Ok(Encounter::NoContent),
            Request::Patch { .. } => Err(ArmError::new(ErrorCode::ResourceNotFound, "The resource does not exist.")),
            Request::OfChild => {
                Err(ArmError::new(ErrorCode::ParentResourceNotFound, "The resource above it does not exist."))
            }
        };
    };
    match (request, state) {
        (Request::OfChild, Provisioned) => Ok(Encounter::Proceed),
        (Request::OfChild, _) => Err(ancestor_not_provisioned(state)),
        (Request::Delete, Deprovisioning) => Ok(Encounter::Join),
        (Request::Delete, _) => Ok(Encounter::Delete),
        (Request::Put { .. } | Request::Patch { .. }, Failed | Canceled) => Ok(Encounter::Change),
        (Request::Put { same } | Request::Patch { same }, Provisioned) => {
            Ok(if same { Encounter::Nothing } else { Encounter::Change })
        }
        (Request::Put { same: true }, Accepted | Provisioning | Updating) => Ok(Encounter::Join),
        (Request::Put { .. } | Request::Patch { .. }, _) => {
            let message = "Another operation on the resource is in progress. Try again when it has ended.";
            Err(ArmError::new(ErrorCode::AnotherOperationInProgress, message))
        }
    }
}

fn ancestor_not_provisioned(state: ResourceState) -> ArmError {
    let hint = if state.is_terminal() { "Mend it first." } else { "Try again when it is ready." };
    let message = format!("The resource above it is not ready. {hint}");
    ArmError::new(ErrorCode::AncestorNotProvisioned, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the contract, a row a line: PUT same, PUT different, PATCH,
    /// DELETE, child.
    #[test]
    fn the_table_of_the_contract() {
        use ResourceState::{Accepted, Canceled, Deprovisioning, Failed, Provisioned, Provisioning, Updating};
        let requests = [
            Request::Put { same: true },
            Request::Put { same: false },
            Request::Patch { same: false },
            Request::Delete,
            Request::OfChild,
        ];
        let rows = [
            (None, "Create Create ResourceNotFound NoContent ParentResourceNotFound"),
            (Some(Accepted), "Join Busy Busy Delete NotReady"),
            (Some(Provisioning), "Join Busy Busy Delete NotReady"),
            (Some(Updating), "Join Busy Busy Delete NotReady"),
            (Some(Provisioned), "Nothing Change Change Delete Proceed"),
            (Some(Failed), "Change Change Change Delete NotReady"),
            (Some(Canceled), "Change Change Change Delete NotReady"),
            (Some(Deprovisioning), "Busy Busy Busy Join NotReady"),
        ];
        for (state, expected) in rows {
            let outcomes = requests.map(|request| match meet(state, request) {
                Ok(encounter) => format!("{encounter:?}"),
                Err(error) => match error.code {
                    ErrorCode::AnotherOperationInProgress => "Busy".to_owned(),
                    ErrorCode::AncestorNotProvisioned => "NotReady".to_owned(),
                    code => code.as_str().to_owned(),
                },
            });
            assert_eq!(outcomes.join(" "), expected, "{state:?}");
        }
    }

    #[test]
    fn a_patch_that_changes_nothing_is_answered_at_once() {
        assert_eq!(meet(Some(ResourceState::Provisioned), Request::Patch { same: true }), Ok(Encounter::Nothing));
    }
}
