//! Where a program listens whose ports the system has chosen.

/// The addresses, in the order in which the program says them: of probes, of metrics where
/// they are asked for, and of requests.
pub fn addresses(printed: &str) -> Vec<&str> {
    let lines = printed.lines().filter(|line| line.contains("Listens"));
    lines.filter_map(|line| line.split_once("address=")).map(|(_, address)| address.trim()).collect()
}
