//! The identifiers and ids that we give to resources (fhir-conversion.md 5.2
//! and 7.5).
//!
//! ```text
//! logical ids, type, segment --> identifier value --SHA-256--> resource id
//! ```
//!
//! Both are a contract with every Observation already on a server: the same
//! reading must find the same resource, whoever wrote it.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::group::ObservationGroup;

/// The system of our identifiers, and of the coding by which we find our own
/// components again. The slash at its end belongs to it.
pub const SERVICE_SYSTEM: &str = "https://azure.microsoft.com/en-us/services/iomt-fhir-connector/";

/// The resources that an Observation refers to, by logical id (what follows
/// `Patient/` and so on). Device and patient are never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResourceIds {
    /// Logical id of the Device.
    pub device: String,
    /// Logical id of the Patient.
    pub patient: String,
    /// Logical id of the Encounter, when there is one.
    pub encounter: Option<String>,
}

/// The id of a resource that we create: lower-case hex SHA-256 of
/// `system_value`, 64 characters, the most that FHIR allows. Without a system
/// the text starts with the underscore.
pub fn resource_id(system: &str, value: &str) -> String {
    hex_of(hash_of(system), value)
}

fn hash_of(system: &str) -> Sha256 {
    let mut hash = Sha256::new();
    hash.update(system);
    hash.update("_");
    hash
}

fn hex_of(mut hash: Sha256, value: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    hash.update(value);
    let mut id = vec![0; 64];
    for (digits, byte) in id.chunks_exact_mut(2).zip(hash.finalize()) {
        digits.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
    String::from_utf8(id).expect("hexadecimal digits are ASCII")
}

/// How an Observation is found on the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObservationIdentity {
    /// The value of its identifier.
    pub identifier: String,
    /// Its id, the hash of that.
    pub id: String,
}

impl ObservationIdentity {
    /// That of the Observation of a group.
    pub fn of(ids: &ResourceIds, group: &ObservationGroup<'_>) -> ObservationIdentity {
        let identifier = observation_identifier(ids, &group.r#type, &group.id_segment);
        ObservationIdentity { id: observation_id(&identifier), identifier }
    }
}

/// The value of an Observation's identifier: `patient.device.type.segment`,
/// the patient first. Nothing is escaped. `segment` says what time or
/// correlation id the Observation stands for
/// ([`ObservationGroup::id_segment`]).
pub fn observation_identifier(ids: &ResourceIds, r#type: &str, segment: &str) -> String {
    let length = ids.patient.len() + ids.device.len() + r#type.len() + segment.len() + 3;
    let mut identifier = String::with_capacity(length);
    for (at, part) in [&ids.patient, &ids.device, r#type, segment].into_iter().enumerate() {
        if at > 0 {
            identifier.push('.');
        }
        identifier.push_str(part);
    }
    identifier
}

/// The id of the Observation with this identifier value.
pub fn observation_id(identifier: &str) -> String {
    // Our system and the underscore are just one block of SHA-256.
    static SYSTEM: LazyLock<Sha256> = LazyLock::new(|| hash_of(SERVICE_SYSTEM));
    hex_of(SYSTEM.clone(), identifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of fhir-conversion.md 13.1.
    #[test]
    fn resource_ids_are_those_of_the_reference_connector() {
        let cases = [
            ("", "patient1", "cd3ee1fc63936b0083c968fe962a726d383ab6ee83af53d4f50507ccd646b68a"),
            ("", "device1", "e55c4dadeb1050efd66966053edc1a9f921022858367eff94c3fc7660ed1f1ef"),
            (
                "https://example.org/devices",
                "device1",
                "1e5a195863db2b2c61161b98d85d565a389b1e07ffe35421a484870cc23ce861",
            ),
        ];
        for (system, value, id) in cases {
            assert_eq!(resource_id(system, value), id, "{system} {value}");
        }
    }

    #[test]
    fn observation_ids_are_those_of_the_reference_connector() {
        let hour = "20231009190000Z.20231009195959Z";
        let hashed = (resource_id("", "patient1"), resource_id("", "device1"));
        let cases = [
            (("p1", "d1"), "heartrate", hour, "89b4f1d14e9783a2d4c5ffc3a31de0291e2971197849dca81e0e54e3c8e4dd30"),
            (
                ("p1", "d1"),
                "bloodpressure",
                "20231009191823Z.20231009191823Z",
                "70c51cc5fabdf80df7c63c81d134dc7097cd6cd45bd16f4506ca9e4d984f696b",
            ),
            (("p1", "d1"), "ecg", "session-42", "5ace653f4c86965691529258b3177a0ef060f67cf1766ecfd233b028fb428b46"),
            (
                ("p1", "d1"),
                "steps",
                "20231009000000Z.20231009235959Z",
                "b1c57891115870ccda249aa413fa0ed4ce981c88e64470673733a60c1fff88c3",
            ),
            (
                (hashed.0.as_str(), hashed.1.as_str()),
                "heartrate",
                hour,
                "1468c86bd10ac7efd3cb627fa49eb528a7c715ec1fc27408eee4e31b98c384a5",
            ),
        ];
        for ((patient, device), name, segment, id) in cases {
            let ids = ResourceIds { device: device.into(), patient: patient.into(), encounter: None };
            assert_eq!(observation_id(&observation_identifier(&ids, name, segment)), id, "{name}");
        }
    }
}
