//! The `Compatibility__…` settings (design.md D12).

use mapping::Compatibility;
use mapping::compatibility::{Dates, Numbers, OnFailure};
use serde::Deserialize;

use crate::Checks;

/// The settings as they are; flatten this into a binary's own. Each but the
/// first two is the field of [`Compatibility`] of the same name.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CompatibilitySettings {
    /// `Compatibility__Profile`: `default`, or `reference` for every switch as
    /// the reference connector behaves.
    #[serde(rename = "compatibility__profile")]
    pub profile: Option<String>,
    /// `Compatibility__KeepLastGoodMapping`.
    #[serde(rename = "compatibility__keeplastgoodmapping")]
    pub keep_last_good_mapping: Option<String>,
    /// `Compatibility__Numbers`: `reference` or `exact`.
    #[serde(rename = "compatibility__numbers")]
    pub numbers: Option<String>,
    /// `Compatibility__Dates`: `reference` or `exact`.
    #[serde(rename = "compatibility__dates")]
    pub dates: Option<String>,
    /// `Compatibility__MatchedTokenTwice`.
    #[serde(rename = "compatibility__matchedtokentwice")]
    pub matched_token_twice: Option<String>,
    /// `Compatibility__CoercedComparisonErrors`.
    #[serde(rename = "compatibility__coercedcomparisonerrors")]
    pub coerced_comparison_errors: Option<String>,
    /// `Compatibility__BacktrackingPatterns`.
    #[serde(rename = "compatibility__backtrackingpatterns")]
    pub backtracking_patterns: Option<String>,
    /// `Compatibility__IntegralFloatTimestamps`.
    #[serde(rename = "compatibility__integralfloattimestamps")]
    pub integral_float_timestamps: Option<String>,
    /// `Compatibility__OnMappingFailure`: `drop` or `retry`.
    #[serde(rename = "compatibility__onmappingfailure")]
    pub on_mapping_failure: Option<String>,
    /// `Compatibility__LenientMeasurements`.
    #[serde(rename = "compatibility__lenientmeasurements")]
    pub lenient_measurements: Option<String>,
    /// `Compatibility__OnUnmappedType`: `drop` or `retry`.
    #[serde(rename = "compatibility__onunmappedtype")]
    pub on_unmapped_type: Option<String>,
    /// `Compatibility__QuantityExponents`.
    #[serde(rename = "compatibility__quantityexponents")]
    pub quantity_exponents: Option<String>,
    /// `Compatibility__OverwriteEnteredInError`.
    #[serde(rename = "compatibility__overwriteenteredinerror")]
    pub overwrite_entered_in_error: Option<String>,
    /// `Compatibility__MergeEqualTimes`.
    #[serde(rename = "compatibility__mergeequaltimes")]
    pub merge_equal_times: Option<String>,
    /// `Compatibility__SkipEmptyObservations`.
    #[serde(rename = "compatibility__skipemptyobservations")]
    pub skip_empty_observations: Option<String>,
    /// `Compatibility__StoredValuesWin`.
    #[serde(rename = "compatibility__storedvalueswin")]
    pub stored_values_win: Option<String>,
    /// `Compatibility__SubsecondIdentifiers`.
    #[serde(rename = "compatibility__subsecondidentifiers")]
    pub subsecond_identifiers: Option<String>,
}

/// What decides the switches that have no setting of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// As the behaviour references name them, and else the safer way.
    #[default]
    Default,
    /// As the reference connector behaves.
    Reference,
}

/// All that the settings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// `Compatibility__Profile`; for the switches of one function alone.
    pub profile: Profile,
    /// What mapping and conversion do.
    pub compatibility: Compatibility,
    /// `Compatibility__KeepLastGoodMapping`: a new mapping with errors leaves
    /// the last good one in use; otherwise everything waits for one without.
    pub keep_last_good_mapping: bool,
}

/// The switches: those of the profile, each overruled by its own setting.
pub fn switches(settings: CompatibilitySettings, checks: &mut Checks) -> Switches {
    let profile = |text: &str| match text.to_ascii_lowercase().as_str() {
        "default" => Some(Profile::Default),
        "reference" => Some(Profile::Reference),
        _ => None,
    };
    let profile = checks.optional("Compatibility__Profile", settings.profile, "`default` or `reference`", profile);
    let profile = profile.unwrap_or_default();
    let base = match profile {
        Profile::Default => Compatibility::default(),
        Profile::Reference => Compatibility::reference(),
    };
    let mut compatibility = Compatibility {
        numbers: checks
            .optional("Compatibility__Numbers", settings.numbers, REFERENCE_OR_EXACT, |text| {
                reference_or_exact(text, Numbers::Reference, Numbers::Exact)
            })
            .unwrap_or(base.numbers),
        dates: checks
            .optional("Compatibility__Dates", settings.dates, REFERENCE_OR_EXACT, |text| {
                reference_or_exact(text, Dates::Reference, Dates::Exact)
            })
            .unwrap_or(base.dates),
        ..base
    };
    for (name, value, on_failure) in [
        ("Compatibility__OnMappingFailure", settings.on_mapping_failure, &mut compatibility.on_mapping_failure),
        ("Compatibility__OnUnmappedType", settings.on_unmapped_type, &mut compatibility.on_unmapped_type),
    ] {
        let read = checks.optional(name, value, "`drop` or `retry`", drop_or_retry);
        *on_failure = read.unwrap_or(*on_failure);
    }
    let mut keep_last_good_mapping = profile == Profile::Default;
    let c = &mut compatibility;
    for (name, value, flag) in [
        ("KeepLastGoodMapping", settings.keep_last_good_mapping, &mut keep_last_good_mapping),
        ("MatchedTokenTwice", settings.matched_token_twice, &mut c.matched_token_twice),
        ("CoercedComparisonErrors", settings.coerced_comparison_errors, &mut c.coerced_comparison_errors),
        ("BacktrackingPatterns", settings.backtracking_patterns, &mut c.backtracking_patterns),
        ("IntegralFloatTimestamps", settings.integral_float_timestamps, &mut c.integral_float_timestamps),
        ("LenientMeasurements", settings.lenient_measurements, &mut c.lenient_measurements),
        ("QuantityExponents", settings.quantity_exponents, &mut c.quantity_exponents),
        ("OverwriteEnteredInError", settings.overwrite_entered_in_error, &mut c.overwrite_entered_in_error),
        ("MergeEqualTimes", settings.merge_equal_times, &mut c.merge_equal_times),
        ("SkipEmptyObservations", settings.skip_empty_observations, &mut c.skip_empty_observations),
        ("StoredValuesWin", settings.stored_values_win, &mut c.stored_values_win),
        ("SubsecondIdentifiers", settings.subsecond_identifiers, &mut c.subsecond_identifiers),
    ] {
        *flag = checks.flag(&format!("Compatibility__{name}"), value, *flag);
    }
    Switches { profile, compatibility, keep_last_good_mapping }
}

const REFERENCE_OR_EXACT: &str = "`reference` or `exact`";

fn reference_or_exact<T>(text: &str, reference: T, exact: T) -> Option<T> {
    match text.to_ascii_lowercase().as_str() {
        "reference" => Some(reference),
        "exact" => Some(exact),
        _ => None,
    }
}

fn drop_or_retry(text: &str) -> Option<OnFailure> {
    match text.to_ascii_lowercase().as_str() {
        "drop" => Some(OnFailure::Drop),
        "retry" => Some(OnFailure::Retry),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Switches, String> {
        let pairs = pairs.iter().map(|(name, value)| (format!("Compatibility__{name}"), (*value).to_owned()));
        let settings = crate::read(pairs).expect("they are optional texts");
        let mut checks = Checks::default();
        let switches = switches(settings, &mut checks);
        checks.finish(Some(switches)).map_err(|error| error.to_string())
    }

    /// Each switch, how the reference connector has it, and the other way.
    const SWITCHES: [(&str, &str, &str); 16] = [
        ("KeepLastGoodMapping", "false", "true"),
        ("Numbers", "reference", "exact"),
        ("Dates", "reference", "exact"),
        ("MatchedTokenTwice", "true", "false"),
        ("CoercedComparisonErrors", "true", "false"),
        ("BacktrackingPatterns", "true", "false"),
        ("IntegralFloatTimestamps", "false", "true"),
        ("OnMappingFailure", "retry", "drop"),
        ("LenientMeasurements", "true", "false"),
        ("OnUnmappedType", "retry", "drop"),
        ("QuantityExponents", "false", "true"),
        ("OverwriteEnteredInError", "true", "false"),
        ("MergeEqualTimes", "false", "true"),
        ("SkipEmptyObservations", "false", "true"),
        ("StoredValuesWin", "false", "true"),
        ("SubsecondIdentifiers", "false", "true"),
    ];

    #[test]
    fn the_reference_profile_sets_every_switch_as_the_reference_connector_has_it() {
        let by_profile = read(&[("Profile", "reference")]).unwrap();
        assert_eq!(by_profile.compatibility, Compatibility::reference());
        let one_by_one: Vec<_> = SWITCHES.iter().map(|(name, reference, _)| (*name, *reference)).collect();
        let mut one_by_one = read(&one_by_one).unwrap();
        // What has no setting of its own.
        one_by_one.profile = Profile::Reference;
        one_by_one.compatibility.components_hide_value = true;
        assert_eq!(one_by_one, by_profile);
    }

    #[test]
    fn a_switch_overrules_the_profile() {
        let by_profile = read(&[("Profile", "Reference")]).unwrap();
        for (name, _, other) in SWITCHES {
            let overruled = read(&[("Profile", "reference"), (name, other)]).unwrap();
            assert_ne!(overruled, by_profile, "{name}");
        }
        let default = read(&[]).unwrap();
        assert_eq!(default.compatibility, Compatibility::default());
        assert!(default.keep_last_good_mapping);
    }

    #[test]
    fn says_what_a_switch_may_be() {
        let problems = read(&[("Numbers", "dotnet"), ("OnUnmappedType", "wait"), ("QuantityExponents", "yes")]);
        let expected = [
            "app setting `Compatibility__Numbers` is `dotnet`; expected `reference` or `exact`",
            "app setting `Compatibility__OnUnmappedType` is `wait`; expected `drop` or `retry`",
            "app setting `Compatibility__QuantityExponents` is `yes`; expected `true` or `false`",
        ];
        assert_eq!(problems, Err(expected.join("\n")));
    }
}
