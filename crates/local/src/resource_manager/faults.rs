//! What goes wrong when a test asks for it.

/// Lets requests fail.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The verb of the requests; any when empty.
    pub method: &'static str,
    /// What the path has in it, in lower case.
    pub path_has: &'static str,
    /// How they fail.
    pub kind: FaultKind,
    /// How many of them.
    pub times: usize,
}

/// How a request fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// With an answer; nothing happens.
    Answer {
        /// The status.
        status: u16,
        /// Azure's code.
        code: &'static str,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
    },
    /// The connection breaks off, and nothing happens.
    CutBefore,
    /// The connection breaks off when it has happened.
    CutAfter,
    /// The operation that it begins fails.
    OperationFails,
}

/// Takes the fault that a request meets.
pub fn take(faults: &mut Vec<Fault>, method: &str, path: &str) -> Option<FaultKind> {
    let path = path.to_lowercase();
    let is_meant = |fault: &Fault| {
        (fault.method.is_empty() || fault.method == method) && path.contains(fault.path_has) && fault.times > 0
    };
    let index = faults.iter().position(is_meant)?;
    faults[index].times -= 1;
    let kind = faults[index].kind.clone();
    faults.retain(|fault| fault.times > 0);
    Some(kind)
}
