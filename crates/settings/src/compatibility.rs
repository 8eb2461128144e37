//! The `Compatibility__…` settings (design.md D12).

use mapping::Compatibility;
use mapping::compatibility::Numbers;
use serde::Deserialize;

use crate::Checks;

/// The settings as they are; flatten this into a binary's own.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CompatibilitySettings {
    /// `Compatibility__Profile`: `default`, or `reference` for every switch as
    /// the reference connector behaves.
    #[serde(rename = "compatibility__profile")]
    pub profile: Option<String>,
    /// `Compatibility__Numbers`: `reference` or `exact`.
    #[serde(rename = "compatibility__numbers")]
    pub numbers: Option<String>,
    /// `Compatibility__CoercedComparisonErrors`.
    #[serde(rename = "compatibility__coercedcomparisonerrors")]
    pub coerced_comparison_errors: Option<String>,
    /// `Compatibility__IntegralFloatTimestamps`.
    #[serde(rename = "compatibility__integralfloattimestamps")]
    pub integral_float_timestamps: Option<String>,
    /// `Compatibility__OverwriteEnteredInError`.
    #[serde(rename = "compatibility__overwriteenteredinerror")]
    pub overwrite_entered_in_error: Option<String>,
    /// `Compatibility__MergeEqualTimes`.
    #[serde(rename = "compatibility__mergeequaltimes")]
    pub merge_equal_times: Option<String>,
    /// `Compatibility__SkipEmptyObservations`.
    #[serde(rename = "compatibility__skipemptyobservations")]
    pub skip_empty_observations: Option<String>,
}

/// The switches: those of the profile, each overruled by its own setting.
pub fn compatibility(settings: CompatibilitySettings, checks: &mut Checks) -> Compatibility {
    let profile = |text: &str| match text.to_ascii_lowercase().as_str() {
        "default" => Some(Compatibility::default()),
        "reference" => Some(Compatibility::reference()),
        _ => None,
    };
    let numbers = |text: &str| match text.to_ascii_lowercase().as_str() {
        "reference" => Some(Numbers::Reference),
        "exact" => Some(Numbers::Exact),
        _ => None,
    };
    let of_profile = checks.optional("Compatibility__Profile", settings.profile, "`default` or `reference`", profile);
    let base = of_profile.unwrap_or_default();
    let mut flag = |name: &str, value, default| checks.flag(name, value, default);
    Compatibility {
        coerced_comparison_errors: flag(
            "Compatibility__CoercedComparisonErrors",
            settings.coerced_comparison_errors,
            base.coerced_comparison_errors,
        ),
        integral_float_timestamps: flag(
            "Compatibility__IntegralFloatTimestamps",
            settings.integral_float_timestamps,
            base.integral_float_timestamps,
        ),
        overwrite_entered_in_error: flag(
            "Compatibility__OverwriteEnteredInError",
            settings.overwrite_entered_in_error,
            base.overwrite_entered_in_error,
        ),
        merge_equal_times: flag("Compatibility__MergeEqualTimes", settings.merge_equal_times, base.merge_equal_times),
        skip_empty_observations: flag(
            "Compatibility__SkipEmptyObservations",
            settings.skip_empty_observations,
            base.skip_empty_observations,
        ),
        components_hide_value: base.components_hide_value,
        numbers: checks
            .optional("Compatibility__Numbers", settings.numbers, "`reference` or `exact`", numbers)
            .unwrap_or(base.numbers),
    }
}
