//! The addresses of AMQP links: what a client wants to talk to.
//!
//! ```text
//! $cbs                                             tokens
//! $management                                      hub and partition properties
//! hub[/Partitions/0]                               send
//! hub/ConsumerGroups/$Default/Partitions/0         receive
//! ```
//!
//! Clients write the bare form, a leading `/`, or a URL whose host is the
//! namespace; scheme and host mean nothing here (functions-eventhubs-keda.md 7.4).

/// What a link is attached to. Names are as the client wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// The node that takes tokens.
    Cbs,
    /// The node that answers for hub and partition properties.
    Management,
    /// A hub to send to.
    Hub {
        /// Name of the hub.
        hub: &'a str,
        /// The partition, when the sender chose it.
        partition: Option<&'a str>,
    },
    /// A partition to receive from.
    ConsumerGroup {
        /// Name of the hub.
        hub: &'a str,
        /// Name of the consumer group.
        group: &'a str,
        /// The partition.
        partition: &'a str,
    },
}

impl<'a> Address<'a> {
    /// Reads a link address; `None` when it has none of the known forms.
    pub fn parse(address: &'a str) -> Option<Self> {
        let path = match address.split_once("://") {
            Some((_scheme, rest)) => rest.split_once('/')?.1,
            None => address,
        };
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        if segments.last().is_some_and(|last| last.eq_ignore_ascii_case("$management")) {
            return Some(Self::Management);
        }
        match segments[..] {
            ["$cbs"] => Some(Self::Cbs),
            [hub] if !hub.is_empty() => Some(Self::Hub { hub, partition: None }),
            [hub, word, partition] if is(word, "Partitions") => Some(Self::Hub { hub, partition: Some(partition) }),
            [hub, groups, group, partitions, partition]
                if is(groups, "ConsumerGroups") && is(partitions, "Partitions") =>
            {
                Some(Self::ConsumerGroup { hub, group, partition })
            }
            _ => None,
        }
    }
}

fn is(segment: &str, word: &str) -> bool {
    segment.eq_ignore_ascii_case(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_that_clients_write() {
        let send = |partition| Some(Address::Hub { hub: "hub1", partition });
        let receive = Some(Address::ConsumerGroup { hub: "hub1", group: "$Default", partition: "0" });
        let cases = [
            ("$cbs", Some(Address::Cbs)),
            ("$management", Some(Address::Management)),
            ("amqps://ns1.servicebus.windows.net/hub1/$management", Some(Address::Management)),
            ("hub1", send(None)),
            ("/hub1", send(None)),
            ("amqps://ns1.servicebus.windows.net/hub1", send(None)),
            ("sb://localhost:5672/hub1/", send(None)),
            ("hub1/Partitions/0", send(Some("0"))),
            ("amqp://localhost/hub1/partitions/0", send(Some("0"))),
            ("hub1/ConsumerGroups/$Default/Partitions/0", receive.clone()),
            ("sb://localhost/hub1/consumergroups/$Default/Partitions/0", receive),
            ("", None),
            ("amqps://host", None),
            ("hub1/Publishers/p1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Address::parse(text), expected, "{text}");
        }
    }
}
