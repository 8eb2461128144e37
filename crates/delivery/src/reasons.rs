//! Every reason code, and what to know about it: the list behind
//! `docs/fates.md`.
//!
//! The codes themselves come from where the reasons are found ([`ErrorKind`],
//! [`ConvertError`], the FHIR client); a test holds the list to the sources. A
//! code is never renamed: filters, alerts and dead letters name it.
//!
//! [`ErrorKind`]: mapping::normalize::ErrorKind
//! [`ConvertError`]: mapping::ConvertError

use crate::dead_letter::Stage;

/// A reason code, explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonCode {
    /// The stable name.
    pub code: &'static str,
    /// Where it comes up.
    pub stage: Stage,
    /// What happened.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// Who does that.
    pub who: Who,
    /// What comes of giving the dead letter again.
    pub replay: Replay,
}

/// Who can do something about a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever writes mappings and knows the devices.
    Integrator,
    /// Whoever runs the connector and the FHIR server.
    Platform,
    /// Whoever develops the connector: it is a defect.
    Developers,
}

/// What comes of giving a dead letter again, once what the remedy says is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// It gets through.
    Works,
    /// It is rejected again: what is wrong is in the event or measurement as it
    /// was stored. Only what the device sends from now on is better.
    InVain,
}

impl Who {
    /// The word of the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Who::Integrator => "integrator",
            Who::Platform => "platform team",
            Who::Developers => "us",
        }
    }
}

impl Replay {
    /// The words of the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Replay::Works => "yes, then",
            Replay::InVain => "in vain",
        }
    }
}

/// What is known of a code; none for one that is not in the list.
pub fn explain(code: &str) -> Option<&'static ReasonCode> {
    REASONS.iter().find(|reason| reason.code == code)
}

const fn reason(
    stage: Stage,
    code: &'static str,
    (meaning, remedy): (&'static str, &'static str),
    who: Who,
    replay: Replay,
) -> ReasonCode {
    ReasonCode { code, stage, meaning, remedy, who, replay }
}

/// All codes, by stage and along the path.
pub const REASONS: &[ReasonCode] = &{
    use Replay::{InVain, Works};
    use Stage::{GroupConvert, Normalize};
    use Who::{Developers, Integrator, Platform};
    [
        reason(
            Normalize,
            "InvalidDataFormat",
            (
                "the event is not JSON, nests too deep or is too large",
                "look at the event (`iotc dead-letters show KEY --body`) and mend the device or what is between",
            ),
            Integrator,
            InVain,
        ),
        reason(
            Normalize,
            "IncompatibleData",
            (
                "a part that the matching template requires (device, time, a required value) is missing, blank or not of a usable form",
                "mend the template, or make the value optional",
            ),
            Integrator,
            Works,
        ),
        reason(
            Normalize,
            "TemplateExpression",
            (
                "an expression failed over this event, or gave several values where one is wanted",
                "mend the expression that the message names",
            ),
            Integrator,
            Works,
        ),
        reason(
            Normalize,
            "FunctionError",
            ("a JMESPath function was given what it does not take", "mend the expression"),
            Integrator,
            Works,
        ),
        reason(
            Normalize,
            "DivideByZero",
            ("an expression divided by zero", "guard the division in the expression"),
            Integrator,
            Works,
        ),
        reason(
            Normalize,
            "Overflow",
            ("a number left its range in an expression", "mend the expression"),
            Integrator,
            Works,
        ),
        reason(
            Normalize,
            "ArgumentOutOfRange",
            (
                "a function was given a number or time outside what it takes",
                "mend the expression; often a time in milliseconds that is read as seconds",
            ),
            Integrator,
            Works,
        ),
        reason(
            Normalize,
            "Argument",
            (
                "a value of the template has no name, or what is to be normalized is no JSON object",
                "give each value a `valueName`",
            ),
            Integrator,
            Works,
        ),
        reason(
            Normalize,
            "LimitExceeded",
            (
                "the event, or what the mapping makes of it, is beyond a limit ([limits.md](limits.md))",
                "write the expression that the message names so that it does less work; a hostile event needs nothing",
            ),
            Integrator,
            Works,
        ),
        reason(
            Normalize,
            "MeasurementTooLarge",
            (
                "a measurement is larger than the internal hub takes; the others of its event were sent",
                "take less into a value",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "InvalidMeasurement",
            (
                "an event of the internal hub is no measurement",
                "find out who else writes to the hub; measurements with comments, single quotes or names without quotes need `Compatibility__LenientMeasurements`",
            ),
            Platform,
            Works,
        ),
        reason(
            GroupConvert,
            "DeviceIdNotDefined",
            ("the measurement has no device id", "find out who else writes to the hub: `normalize` sends none without"),
            Platform,
            InVain,
        ),
        reason(
            GroupConvert,
            "TypeNotDefined",
            ("the measurement has no type", "give the template of the device mapping a `typeName`"),
            Integrator,
            InVain,
        ),
        reason(
            GroupConvert,
            "TemplateNotFound",
            (
                "the FHIR mapping has no template for the type",
                "add one, or mend the `typeName`: letter case does not count",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "CorrelationIdNotDefined",
            (
                "the FHIR template groups by correlation id, and the measurement has none",
                "give the device mapping a `correlationIdExpression`, or the FHIR template another `periodInterval`",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "UnsupportedInterval",
            ("the `periodInterval` of the FHIR template is none of -1, 0, 60 and 1440", "mend it"),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "InvalidQuantity",
            (
                "a value of the type Quantity is not one decimal number",
                "make it a String in the FHIR mapping, or a number in the device mapping; for numbers with an exponent see `Compatibility__QuantityExponents`",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "NotOneString",
            (
                "a value of the type String has several values in one Observation",
                "a shorter `periodInterval`, or SampledData",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "InvalidSample",
            (
                "a sample is neither a decimal number nor `E`, `L` or `U`",
                "make it a number in the device mapping, or a String in the FHIR mapping",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "TooManySamples",
            (
                "a series would have more samples than an Observation may hold ([limits.md](limits.md))",
                "a shorter `periodInterval`",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "NoValue",
            (
                "no value of the type is in the FHIR template, and `Compatibility__SkipEmptyObservations` forbids an Observation without",
                "add the values to the FHIR template",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "DeviceIdentityNotDefined",
            (
                "the measurement lacks the device identifier that this way of resolving needs",
                "give the device mapping a `deviceIdExpression`",
            ),
            Integrator,
            InVain,
        ),
        reason(
            GroupConvert,
            "PatientIdentityNotDefined",
            ("it lacks the patient identifier", "give the device mapping a `patientIdExpression`, or use `Lookup`"),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "EncounterIdentityNotDefined",
            (
                "it lacks the encounter identifier",
                "give the device mapping an `encounterIdExpression`, or use `Lookup`",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "DeviceNotFound",
            (
                "no Device has the identifier",
                "register it; mind `ResourceIdentity__DefaultDeviceIdentifierSystem`. With `Parking__…` measurements wait for it",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "PatientNotFound",
            (
                "no Patient has the identifier, or the Device names no Patient",
                "register it, or give the Device its `patient`. With `Parking__…` measurements wait for it",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "EncounterNotFound",
            ("no Encounter has the identifier", "register it. With `Parking__…` measurements wait for it"),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "MultipleDeviceFound",
            (
                "several Devices have the identifier",
                "make it unique, or set `ResourceIdentity__DefaultDeviceIdentifierSystem`",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "MultiplePatientFound",
            ("several Patients have the identifier", "make it unique, or set `Compatibility__PatientIdentifierSystem`"),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "MultipleEncounterFound",
            (
                "several Encounters have the identifier",
                "make it unique, or set `Compatibility__EncounterIdentifierSystem`",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "PatientDeviceMismatch",
            (
                "the Device belongs to another Patient than the measurement says",
                "mend `Device.patient`; whether it is looked at is `Compatibility__PatientCheck`",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "IdentityRefused",
            (
                "the FHIR server takes no search for, or no resource with, such an identifier",
                "look into the log of the server",
            ),
            Platform,
            Works,
        ),
        reason(
            GroupConvert,
            "ValueTypeDiffers",
            (
                "the stored Observation has a value of another type than the FHIR template",
                "a new code or `typeName` when the type of a value is changed, or mend the stored Observation",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "SeveralDimensions",
            (
                "the stored SampledData has more than one dimension: something else wrote it",
                "mend the stored Observation",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "EffectiveNotSupported",
            (
                "the stored Observation has no effective date-time or period: something else changed it",
                "mend the stored Observation",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "EffectiveIncomplete",
            ("the stored Observation says not when it began, or not when it ended", "mend the stored Observation"),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "Withdrawn",
            (
                "the stored Observation is `entered-in-error` or `cancelled`, and stays so",
                "nothing, as a rule: somebody withdrew it. `Compatibility__OverwriteEnteredInError` writes on",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "ObservationDeleted",
            (
                "somebody deleted the Observation, and it stays so",
                "nothing, as a rule. `Compatibility__RecreateDeleted` makes it anew",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "MultipleObservationFound",
            (
                "several Observations have the identifier that `Compatibility__LegacyIds` looks for",
                "delete all but one",
            ),
            Platform,
            Works,
        ),
        reason(
            GroupConvert,
            "ObservationRefused",
            (
                "the FHIR server refuses the Observation: 400, 422, or 412 again and again without another writer",
                "look into the log of the server; a profile or a terminology that the FHIR mapping does not keep to, as a rule",
            ),
            Integrator,
            Works,
        ),
        reason(
            GroupConvert,
            "ReferenceNotFound",
            (
                "the FHIR server does not find what the Observation refers to (404)",
                "register the Device, Patient or Encounter again: it was there when it was looked for",
            ),
            Platform,
            Works,
        ),
        reason(
            GroupConvert,
            "ObservationTooLarge",
            (
                "the Observation is too large for the FHIR server (413)",
                "a shorter `periodInterval`, or let the server take more",
            ),
            Platform,
            Works,
        ),
        reason(
            GroupConvert,
            "WriteConflict",
            ("other writers of the Observation were faster in ten rounds", "find out who else writes it"),
            Platform,
            Works,
        ),
        reason(
            GroupConvert,
            "FhirServerError",
            (
                "the FHIR server fails on this Observation, or on a search for this identifier, and works otherwise ([fhir-servers.md](fhir-servers.md))",
                "look into the log of the server",
            ),
            Platform,
            Works,
        ),
        reason(
            GroupConvert,
            "NoFate",
            (
                "the connector gave the measurement no fate",
                "report it with the log: it is a defect, as `iotc.conservation_violations` says too",
            ),
            Developers,
            Works,
        ),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference_metrics::{WITHOUT_COUNTERPART, counterparts, of_reason};

    #[test]
    fn a_code_stands_there_once_and_is_counted_as_the_reference_connector_does_or_not_at_all() {
        for (index, reason) in REASONS.iter().enumerate() {
            let code = reason.code;
            assert!(REASONS[..index].iter().all(|other| other.code != code), "{code} is there twice");
            assert!(of_reason(code).is_some() != WITHOUT_COUNTERPART.contains(&code), "{code}");
        }
        for code in counterparts().chain(WITHOUT_COUNTERPART) {
            assert!(explain(code).is_some(), "{code} is no reason");
        }
    }
}
